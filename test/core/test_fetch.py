"""``pixelrefer fetch`` asks the hub for the right files and says in one sentence what went wrong."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub.errors import (
    GatedRepoError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from pixelrefer_core import hub
from pixelrefer_core.checkpoint import load_model
from pixelrefer_core.cli.main import main

GOLDEN = Path(__file__).parents[1] / 'golden'
REPOSITORY = 'example/tiny'
TOWER = 'example/tower'
REVISION = '0123456789abcdef0123456789abcdef01234567'
Calls = list[tuple[str, dict]]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """What the hub has: a model, whose vision tower is a repository of its own."""
    for name, source in ((REPOSITORY, 'checkpoint_lite'), (TOWER, 'checkpoint_vision')):
        shutil.copytree(GOLDEN / source, tmp_path / name / REVISION)
    config = tmp_path / REPOSITORY / REVISION / 'config.json'
    config.write_text(json.dumps(json.loads(config.read_text()) | {'mm_vision_encoder': TOWER}))
    return tmp_path


@pytest.fixture
def calls(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Stand in for the hub; notes what it was asked."""
    noted: Calls = []

    def download(name: str, **options: object) -> str:
        noted.append((name, options))
        folder = cache / name / REVISION
        if not folder.is_dir():
            raise failure(RepositoryNotFoundError)
        return str(folder)

    monkeypatch.setattr(hub, 'snapshot_download', download)
    return noted


def failure(kind: type[Exception]) -> Exception:
    # Without the constructor, since some want the hub's response and which library it is of differs.
    return kind.__new__(kind, 'x')


def raising(error: Exception) -> Callable[..., str]:
    def download(name: str, **options: object) -> str:
        raise error

    return download


def test_a_model_and_the_configuration_of_its_vision_tower_are_fetched(
    cache: Path, calls: Calls, capsys: pytest.CaptureFixture[str]
):
    status = main(['fetch', REPOSITORY, '--revision', 'main', '--json'])

    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert status == 0
    assert [(name, options['revision']) for name, options in calls] == [(REPOSITORY, 'main'), (TOWER, None)]
    assert 'model*.safetensors' in calls[0][1]['allow_patterns']
    assert calls[1][1]['allow_patterns'] == ['*.json']
    assert not any(options.get('local_files_only') for _, options in calls)
    assert result == {
        'repository': REPOSITORY,
        'revision': REVISION,
        'folder': str(cache / REPOSITORY / REVISION),
        'vision_tower_folder': str(cache / TOWER / REVISION),
    }


def test_what_was_fetched_loads_and_is_looked_for_by_the_same_names(calls: Calls):
    main(['fetch', REPOSITORY])
    fetched = {name: options['allow_patterns'] for name, options in calls}
    calls.clear()

    model = load_model(REPOSITORY, device='cpu')

    assert (model.info.name, model.info.revision) == (REPOSITORY, REVISION)
    assert model.config.vision.hidden_size == 64
    # The hub calls a snapshot incomplete when files are missing that were never asked for.
    assert {name: options['allow_patterns'] for name, options in calls} == fetched
    assert all(options['local_files_only'] for _, options in calls)


@pytest.mark.usefixtures('calls')
def test_a_missing_vision_tower_is_told_and_no_failure(cache: Path, capsys: pytest.CaptureFixture[str]):
    shutil.rmtree(cache / TOWER)
    assert main(['fetch', REPOSITORY]) == 0
    assert 'published sizes' in capsys.readouterr().out


def test_a_tower_inside_the_model_is_not_asked_for(cache: Path, calls: Calls):
    shutil.copytree(GOLDEN / 'checkpoint_vision', cache / REPOSITORY / REVISION / TOWER)
    main(['fetch', REPOSITORY])
    assert [name for name, _ in calls] == [REPOSITORY]


@pytest.mark.usefixtures('calls')
def test_another_model_is_no_pixelrefer(cache: Path, capsys: pytest.CaptureFixture[str]):
    (cache / REPOSITORY / REVISION / 'config.json').write_text('{"model_type": "bert"}')
    assert main(['fetch', REPOSITORY]) == 2
    assert "no PixelRefer, no tracker and no detector, but a 'bert'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ('kind', 'use'),
    [('owlv2', 'detector.path = example/tiny'), ('sam2_video', '--tracker sam2:example/tiny')],
)
def test_trackers_and_detectors_are_fetched_too_and_it_is_said_where_they_belong(
    cache: Path, calls: Calls, capsys: pytest.CaptureFixture[str], kind: str, use: str
):
    (cache / REPOSITORY / REVISION / 'config.json').write_text(json.dumps({'model_type': kind}))
    assert main(['fetch', REPOSITORY]) == 0
    assert use in capsys.readouterr().out
    assert [name for name, _ in calls] == [REPOSITORY]


@pytest.mark.parametrize(
    ('kind', 'message'),
    [
        (GatedRepoError, 'accept its terms'),
        (RepositoryNotFoundError, 'the hub has no example/tiny'),
        (RevisionNotFoundError, 'no revision'),
        (LocalEntryNotFoundError, 'fetch'),
        (ConnectionResetError, 'goes on where it stopped'),
    ],
)
def test_every_failure_of_the_hub_is_one_sentence(
    kind: type[Exception], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(hub, 'snapshot_download', raising(failure(kind)))
    assert main(['fetch', REPOSITORY]) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert len(printed.splitlines()) == 1


@pytest.mark.parametrize(
    ('offline', 'message'), [(True, 'HF_HUB_OFFLINE is set'), (False, 'copy its folder')]
)
def test_without_a_network_it_says_what_to_do(
    offline: bool, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(hub, 'snapshot_download', raising(LocalEntryNotFoundError('x')))
    monkeypatch.setattr(hub, 'HF_HUB_OFFLINE', offline)
    assert main(['fetch', REPOSITORY]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ('name', 'message'), [(REPOSITORY, 'HF_HUB_OFFLINE is set'), ('a/b/c', 'OWNER/NAME is wanted')]
)
def test_the_hubs_own_code_refuses_without_a_network(name: str, message: str, tmp_path: Path):
    done = subprocess.run(
        [sys.executable, '-m', 'pixelrefer_core.cli.main', 'fetch', name],
        env={
            **os.environ,
            'HF_HUB_OFFLINE': '1',
            'HF_HOME': str(tmp_path),
            'PYTHONPATH': os.pathsep.join(sys.path),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert 'Traceback' not in done.stderr
