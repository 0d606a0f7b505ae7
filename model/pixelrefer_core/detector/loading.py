"""Zero-shot detectors from a folder or the hub's local cache, ready to run. No network is used."""

from __future__ import annotations

from pathlib import Path

from transformers import AutoModelForZeroShotObjectDetection, AutoTokenizer, PreTrainedConfig

from ..device import choose_device, choose_dtype
from ..errors import ModelError
from ..hub import MODEL_FILES, cached_folder
from ..pretrained import DAMAGE, load_network, read_config
from ..settings import DetectorSettings
from .pixels import Fit, read_recipe
from .reading import DinoReader, OwlReader, Reader
from .zero_shot import ZeroShotDetector

# Kinds of checkpoint, by ``model_type`` of their configuration, and how each wants its pictures.
FITS: dict[str, Fit] = {
    'owlv2': 'pad',
    'owlvit': 'squash',
    'grounding-dino': 'keep',
    'mm-grounding-dino': 'keep',
}


def load_zero_shot(settings: DetectorSettings) -> ZeroShotDetector:
    """Load the detector that ``settings.path`` names, in eval mode on its device.

    Raises :class:`ModelError` saying what is missing, damaged or unsupported.
    """
    device = choose_device(settings.device)
    dtype = choose_dtype(settings.dtype, device)
    folder = Path(settings.path).expanduser()
    if not folder.is_dir():
        folder = cached_folder(settings.path, MODEL_FILES)
    config = read_config(folder, FITS, 'detector')
    recipe = read_recipe(folder, FITS[config.model_type])
    reader = _reader(folder, config)
    network = load_network(AutoModelForZeroShotObjectDetection, folder, config)
    network = network.to(device, dtype).eval().requires_grad_(False)
    return ZeroShotDetector(f'{config.model_type} {settings.path}', network, reader, recipe)


def _reader(folder: Path, config: PreTrainedConfig) -> Reader:
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except DAMAGE as error:
        raise ModelError(f'the tokenizer of {folder} cannot be loaded ({error})') from error
    if FITS[config.model_type] == 'keep':
        return DinoReader(tokenizer, config.max_text_len)
    return OwlReader(tokenizer, config.text_config.max_position_embeddings)
