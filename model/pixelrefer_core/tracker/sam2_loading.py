"""SAM 2 and its relatives from a folder or the hub's local cache, ready to run. No network is used."""

from __future__ import annotations

from pathlib import Path

import torch
import transformers
from transformers import PreTrainedModel, Sam2VideoModel

from ..device import choose_device, choose_dtype
from ..errors import ModelError
from ..hub import MODEL_FILES, cached_folder
from ..pretrained import load_network, read_config
from ..settings import TrackerSettings
from ..shipped import NANO, shipped_folder
from .sam2_config import nano_config, with_image_size

RANDOM_NANO = 'random-nano'
SEED = 0
# Kinds of checkpoint, by ``model_type`` of their configuration, and transformers' class for each. The same code
# drives all of them; transformers needs the package timm for EdgeTAM's encoder.
CLASSES = {
    'sam2_video': 'Sam2VideoModel',
    'edgetam_video': 'EdgeTamVideoModel',
    'sam3_tracker_video': 'Sam3TrackerVideoModel',
}


def load_sam2(settings: TrackerSettings) -> PreTrainedModel:
    """Load the model that ``settings.path`` names, at ``settings.image_size``, in eval mode on its device.

    Raises :class:`ModelError` saying what is missing, damaged or unsupported.
    """
    device = choose_device(settings.device)
    dtype = choose_dtype(settings.dtype, device)
    if not settings.path:
        raise ModelError(
            'tracker.path is empty: give a folder or a cached hub repository, such as facebook/sam2.1-hiera-small'
        )
    if settings.path == RANDOM_NANO:
        model = _random_nano(settings.image_size)
    else:
        model = _load(find_sam2(settings.path), settings.image_size)
    model = model.to(device, dtype).eval().requires_grad_(False)
    # Half precision would move a point by pixels.
    model.prompt_encoder.shared_embedding.float()
    if settings.compile:
        model.vision_encoder.compile()
    return model


def find_sam2(path: str) -> Path:
    """Return the folder of a checkpoint: shipped, ``path`` itself, or its snapshot in the hub's cache."""
    if path == NANO:
        return shipped_folder('sam2_nano')
    folder = Path(path).expanduser()
    return folder if folder.is_dir() else cached_folder(path, MODEL_FILES)


def _random_nano(image_size: int) -> Sam2VideoModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return Sam2VideoModel(nano_config(image_size or 256))


def _load(folder: Path, image_size: int) -> PreTrainedModel:
    config = read_config(folder, CLASSES, 'tracker')
    if image_size and image_size != config.image_size:
        config = with_image_size(config, image_size)
    return load_network(getattr(transformers, CLASSES[config.model_type]), folder, config)
