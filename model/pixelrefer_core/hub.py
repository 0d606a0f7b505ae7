"""The hub's local cache: what of a repository is kept there, how it is found, and how it gets there."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.constants import HF_HUB_CACHE, HF_HUB_OFFLINE
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from .errors import ModelError

# Of a model all that loading reads; of its vision tower the configuration, since its weights are the model's.
# A cached repository counts as there when all of its files with these names are.
MODEL_FILES = ('*.json', '*.txt', '*.jinja', 'model*.safetensors', 'pytorch_model*.bin')
TOWER_FILES = ('*.json',)


def cached_folder(repository: str, files: tuple[str, ...]) -> Path:
    """Return the newest cached snapshot of a repository; no network. Raises :class:`ModelError`."""
    try:
        return Path(snapshot_download(repository, allow_patterns=list(files), local_files_only=True))
    except HFValidationError as error:
        raise ModelError(f'{repository} is neither a folder nor the name of a hub repository') from error
    except LocalEntryNotFoundError as error:
        raise ModelError(
            f'{repository} is neither a folder nor in the local hub cache, or not all of it; '
            f'run `pixelrefer fetch {repository}` on a machine with a network'
        ) from error


def fetch_folder(repository: str, files: tuple[str, ...], revision: str | None = None) -> Path:
    """Bring a repository into the cache, over the network. Raises :class:`ModelError` with what prevents it."""
    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=list(files)))
    except HFValidationError as error:
        raise ModelError(f'{repository!r} is no name of a repository: OWNER/NAME is wanted') from error
    except GatedRepoError as error:
        raise ModelError(
            f'{repository} is given only to those who accept its terms: do so on its page, then run `hf auth login`'
        ) from error
    except RepositoryNotFoundError as error:
        raise ModelError(f'the hub has no {repository}, or keeps it private') from error
    except RevisionNotFoundError as error:
        raise ModelError(f'{repository} has no revision {revision}') from error
    except LocalEntryNotFoundError as error:
        raise ModelError(_why_offline(repository)) from error
    except OSError as error:  # a broken connection, a full disk
        raise ModelError(
            f'{repository} could not be fetched ({error}); run this again, it goes on where it stopped'
        ) from error


def _why_offline(repository: str) -> str:
    if HF_HUB_OFFLINE:
        return f'{repository} cannot be fetched while HF_HUB_OFFLINE is set: unset it and run this again'
    return (
        f'the hub cannot be reached, and {repository} is not in the cache: fetch it on a machine with a network '
        f'and copy its folder to {HF_HUB_CACHE}'
    )
