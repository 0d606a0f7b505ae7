"""Small SAM 2 models with random weights that see something, frames of noise, and transformers' own session beside."""

import numpy as np
import torch
from transformers import Sam2VideoInferenceSession, Sam2VideoModel

from pixelrefer_core.settings import TrackerSettings
from pixelrefer_core.tracker.sam2 import Sam2Tracker
from pixelrefer_core.tracker.sam2_config import nano_config
from pixelrefer_core.types import Frame, Prompt

SIZE = 64
STEP_NS = 100_000_000
CPU = torch.device('cpu')
# ImageNet, as the released processors have them.
MEAN, DEVIATION = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
VISIBLE, HIDDEN = 8.0, -8.0


@torch.no_grad()
def enliven(model):
    """Give every weight a size at which masks, scores and memories vary from frame to frame; objects are visible."""
    for name, weight in model.named_parameters():
        if name.endswith('.scale'):
            weight.fill_(0.3)
        elif weight.dim() > 1:
            weight.normal_(std=weight[0].numel() ** -0.5)
        elif 'norm' not in name or 'bias' in name:
            weight.normal_(std=0.3)
    set_visible(model, True)
    return model.eval()


@torch.no_grad()
def set_visible(model, visible):
    """Let the model see every object from now on, or none."""
    model.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(VISIBLE if visible else HIDDEN)


def lively_model(size=SIZE, **changes):
    config = nano_config(size)
    for name, value in changes.items():
        setattr(config, name, value)
    # Weights that see masks of likely sizes, so that no frame counts as hidden.
    torch.manual_seed(0)
    return enliven(Sam2VideoModel(config))


def noise(count, height=SIZE, width=SIZE, seed=0):
    random = np.random.default_rng(seed)
    images = random.integers(0, 256, (count, height, width, 3), dtype=np.uint8)
    return [Frame(image, STEP_NS * (k + 1)) for k, image in enumerate(images)]


def region(top, bottom, left, right, height=SIZE, width=SIZE):
    mask = np.zeros((height, width), np.bool_)
    mask[top:bottom, left:right] = True
    return mask


def tracker_of(model, **settings):
    return Sam2Tracker(TrackerSettings(backend='sam2', **settings), model)


def track(tracker, frames, adds=None, removes=None):
    """Step through the frames; after frame k, add and remove. Returns {id: {k: estimate}}."""
    found = {}
    for k, frame in enumerate(frames):
        estimates = dict(tracker.step(frame))
        for prompt in (adds or {}).get(k, ()):
            estimates |= tracker.add([prompt], [frame])
        tracker.remove((removes or {}).get(k, ()))
        for object_id, estimate in estimates.items():
            found.setdefault(object_id, {})[k] = estimate
    return found


class Session:
    """Transformers' own session of one object, which forgets nothing. Frames are of the model's size."""

    def __init__(self, model):
        self.model, self.first = model, None
        self.session = Sam2VideoInferenceSession(video_height=SIZE, video_width=SIZE, dtype=torch.float32)
        self.index = self.session.obj_id_to_idx(1)

    def prompt(self, k, prompt: Prompt):
        if prompt.mask is not None:
            self.session.add_mask_inputs(self.index, k, torch.from_numpy(prompt.mask).float()[None, None])
        else:
            points, labels = [], []
            if prompt.box_xyxy is not None:
                points, labels = [prompt.box_xyxy[:2], prompt.box_xyxy[2:]], [2, 3]
            if prompt.points is not None:
                points = [*points, *prompt.points.tolist()]
                labels = [*labels, *prompt.point_labels.astype(int).tolist()]
            coordinates = torch.tensor(points, dtype=torch.float32)[None, None]
            labels = torch.tensor(labels, dtype=torch.int32)[None, None]
            self.session.add_point_inputs(
                self.index, k, {'point_coords': coordinates, 'point_labels': labels}
            )
        self.session.obj_with_new_inputs = [1]

    def step(self, k, frame):
        """Return mask logits (S/4, S/4) and the score in [0, 1]."""
        pixels = (torch.from_numpy(frame.image).float() / 255 - MEAN) / DEVIATION
        output = self.model(self.session, frame=pixels.permute(2, 0, 1), frame_idx=k)
        return output.pred_masks[0, 0].numpy(), float(output.object_score_logits.flatten().sigmoid())
