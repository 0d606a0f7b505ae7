"""SAM 2 from a folder at any input size, its batched parts, its relatives, and checkpoints that are not whole."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import EdgeTamVideoConfig, EdgeTamVideoModel, Sam2VideoModel, Sam3TrackerVideoConfig

from pixelrefer_core.errors import ModelError
from pixelrefer_core.settings import TrackerSettings
from pixelrefer_core.tracker import create_tracker
from pixelrefer_core.tracker.sam2_config import nano_config, with_image_size
from pixelrefer_core.tracker.sam2_loading import load_sam2
from pixelrefer_core.tracker.sam2_memory import Recall
from pixelrefer_core.tracker.sam2_network import Sam2Network
from pixelrefer_core.tracker.sam2_pixels import to_pixels
from pixelrefer_core.types import Prompt

from .lively_sam2 import CPU, SIZE, Session, enliven, lively_model, noise, region, track, tracker_of

NANO = TrackerSettings(backend='sam2', path='random-nano', image_size=SIZE, device='cpu')
PROMPTS = [Prompt('mask', mask=region(0, 32, 0, 64)), Prompt('box', box_xyxy=(8.0, 4.0, 60.0, 50.0))]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp('sam2')
    lively_model().save_pretrained(path)
    return path


def settings_for(path, **changes):
    return replace(NANO, path=str(path), **changes)


# --- loading ---


def test_a_saved_model_tracks_as_the_model_that_was_saved(folder):
    frames = noise(5)
    saved = track(create_tracker(settings_for(folder)), frames, {0: PROMPTS})
    model = track(tracker_of(lively_model()), frames, {0: PROMPTS})
    for name in model:
        assert [item.score for item in saved[name].values()] == [item.score for item in model[name].values()]


@pytest.mark.parametrize('size', [96, 128])
def test_one_checkpoint_runs_at_every_input_size(folder, size):
    tracker = create_tracker(settings_for(folder, image_size=size))
    found = track(tracker, noise(3, height=48, width=80), {0: [PROMPTS[1]]})
    assert found['box'][2].mask.shape == (48, 80)


def test_zero_takes_the_input_size_of_the_checkpoint(folder):
    assert load_sam2(settings_for(folder, image_size=0)).config.image_size == SIZE


def test_a_change_of_input_size_reaches_every_part_and_leaves_the_original_alone():
    config = nano_config(256)
    small = with_image_size(config, 128)
    assert small.vision_config.backbone_feature_sizes == [[32, 32], [16, 16], [8, 8]]
    assert small.memory_attention_rope_feat_sizes == [8, 8]
    assert small.prompt_encoder_config.image_size == small.image_size == 128
    assert small.vision_config.backbone_config.image_size == [128, 128]
    assert config.image_size == 256
    assert config.vision_config.backbone_feature_sizes[0] == [64, 64]


def test_an_input_size_that_its_latents_cannot_share_is_refused_for_edgetam():
    with pytest.raises(ModelError, match='must be a multiple of 256, got 320'):
        with_image_size(EdgeTamVideoConfig(), 320)


def test_a_model_of_one_input_size_says_so():
    with pytest.raises(ModelError, match='a sam3_tracker_video has one input size'):
        with_image_size(Sam3TrackerVideoConfig(), 512)


@pytest.mark.parametrize('size', [100, 16, -32])
def test_an_input_size_between_the_steps_is_refused(size):
    with pytest.raises(ModelError, match='must be a multiple of 32'):
        nano_config(size)


def test_the_nano_model_is_small_and_always_the_same():
    first, second = load_sam2(NANO), load_sam2(NANO)
    assert 2e6 < sum(weight.numel() for weight in first.parameters()) < 4e6
    assert all(map(torch.equal, first.parameters(), second.parameters()))


def test_an_empty_path_says_what_to_give():
    with pytest.raises(ModelError, match=r'tracker\.path is empty: give a folder'):
        create_tracker(replace(NANO, path=''))


def test_a_name_that_is_neither_folder_nor_cached_says_so():
    with pytest.raises(ModelError, match='pixelrefer fetch nobody/no-such-tracker'):
        create_tracker(replace(NANO, path='nobody/no-such-tracker'))


def test_a_model_of_another_kind_is_refused(tmp_path):
    (tmp_path / 'config.json').write_text(json.dumps({'model_type': 'qwen2'}))
    with pytest.raises(ModelError, match="'qwen2', not a tracker; supported are sam2_video"):
        create_tracker(settings_for(tmp_path))


def test_a_folder_without_configuration_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r'config\.json is missing or damaged'):
        create_tracker(settings_for(tmp_path))


def test_weights_that_are_not_whole_are_refused_instead_of_filled_at_random(folder, tmp_path):
    (tmp_path / 'config.json').write_bytes((folder / 'config.json').read_bytes())
    tensors = load_file(folder / 'model.safetensors')
    lost = tensors.pop('no_object_pointer')
    assert lost.numel()
    save_file(tensors, tmp_path / 'model.safetensors', metadata={'format': 'pt'})
    with pytest.raises(ModelError, match='lacks 1 tensors, such as no_object_pointer'):
        create_tracker(settings_for(tmp_path))


def test_a_damaged_file_of_weights_is_refused(folder, tmp_path):
    (tmp_path / 'config.json').write_bytes((folder / 'config.json').read_bytes())
    (tmp_path / 'model.safetensors').write_bytes((folder / 'model.safetensors').read_bytes()[:10000])
    with pytest.raises(ModelError, match='cannot be loaded'):
        create_tracker(settings_for(tmp_path))


# --- the batch ---


@torch.inference_mode()
def test_objects_in_one_batch_get_what_each_gets_alone():
    network, frames = Sam2Network(lively_model()), noise(4)
    first, *others = (network.encode(to_pixels(frame.image, SIZE, CPU)) for frame in frames)
    decoded = [
        network.adopt(first, torch.from_numpy(mask).float()[None, None])
        for mask in (region(0, 32, 0, 64), region(8, 60, 8, 60), region(32, 64, 0, 32))
    ]
    prompted = [network.memorise(first, item, prompted=True)[0] for item in decoded]
    recalls = [Recall(((0, memory),), ((1, memory),)) for memory in prompted]
    together = network.decode(others[0], network.conditioned(others[0], recalls))
    alone = [network.decode(others[0], network.conditioned(others[0], [recall])) for recall in recalls]
    for name in ('logits', 'sharp', 'pointers', 'scores'):
        expected = torch.cat([getattr(item, name) for item in alone])
        torch.testing.assert_close(getattr(together, name), expected, rtol=1e-4, atol=1e-4)
    memories = network.memorise(others[0], together, prompted=False)
    for memory, item in zip(memories, alone, strict=True):
        [own] = network.memorise(others[0], item, prompted=False)
        # Two neighbours in bfloat16 differ by less than a hundredth.
        torch.testing.assert_close(memory.features.float(), own.features.float(), rtol=1e-2, atol=1e-2)


def test_a_memory_keeps_nothing_alive_but_itself():
    network, frame = Sam2Network(lively_model()), noise(1)[0]
    with torch.inference_mode():
        features = network.encode(to_pixels(frame.image, SIZE, CPU))
        decoded = network.decode(features, network.unconditioned(features).expand(8, -1, -1, -1))
        memories = network.memorise(features, decoded, prompted=False)
    for memory in memories:
        for tensor in (memory.features, memory.pointer):
            assert tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
        assert memory.positions is memories[0].positions


# --- pixels ---


def test_pixels_are_resized_as_the_released_processors_do():
    """Bytes in, bilinear with antialiasing, rounded to bytes, then normalised."""
    image = np.zeros((8, 8, 3), np.uint8)
    image[:, ::2] = 255  # stripes of one pixel: their mean is 127.5 wherever it is taken
    pixels = to_pixels(image, 4, CPU)
    inner = pixels[:, :, 1:3] * torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    inner = (inner + torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) * 255
    assert pixels.shape == (3, 4, 4)
    assert torch.allclose(inner, inner.round(), atol=1e-3)
    assert float((inner - 127.5).abs().max()) < 20


# --- relatives ---


class Backbone(torch.nn.Module):
    """Stands in for EdgeTAM's, which needs the package timm: maps of strides 4, 8, 16 and 32."""

    def __init__(self):
        super().__init__()
        sides = ((3, 24, 4), (24, 48, 2), (48, 96, 2), (96, 192, 2))
        self.stages = torch.nn.ModuleList(
            torch.nn.Conv2d(fan_in, fan_out, stride, stride) for fan_in, fan_out, stride in sides
        )

    def forward(self, pixels, **_):
        maps = [pixels]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return SimpleNamespace(last_hidden_state=maps[1:], hidden_states=None, attentions=None)


def edgetam():
    nano = nano_config(SIZE)
    fields = nano.to_dict()
    shared = ('memory_', 'mask_downsampler', 'multimask')
    kept = {name: value for name, value in fields.items() if name.startswith(shared)}
    config = EdgeTamVideoConfig(
        vision_config={
            'model_type': 'edgetam_vision_model',
            'backbone_config': nano.vision_config.backbone_config,
            'backbone_channel_list': [192, 96, 48, 24],
            'fpn_hidden_size': 128,
        },
        prompt_encoder_config={'hidden_size': 128},
        mask_decoder_config={
            name: getattr(nano.mask_decoder_config, name)
            for name in ('hidden_size', 'mlp_dim', 'num_attention_heads', 'iou_head_hidden_dim')
        },
        perceiver_resampler_num_latents_2d=16,
        memory_attention_rope_k_sizes=[4, 4],
        **kept,
    )
    model = EdgeTamVideoModel(with_image_size(config, SIZE))
    model.vision_encoder.backbone = Backbone()
    return enliven(model)


@pytest.mark.parametrize('prompt', PROMPTS, ids=lambda prompt: prompt.object_id)
def test_edgetam_is_driven_by_the_same_code(prompt):
    model, frames = edgetam(), noise(20)
    found = track(tracker_of(model, batched=False), frames, {0: [prompt]})[prompt.object_id]
    session = Session(model)
    session.prompt(0, prompt)
    for k, frame in enumerate(frames):
        assert found[k].score == session.step(k, frame)[1], k
    batch = track(tracker_of(model), frames, {0: PROMPTS})
    assert batch[prompt.object_id][19].score == pytest.approx(found[19].score, abs=1e-4)


def test_a_released_checkpoint_of_sam2_has_the_parts_that_are_used():
    """The published sizes, built without weights."""
    with torch.device('meta'):
        model = Sam2VideoModel(with_image_size(Sam2VideoModel.config_class(), 512))
    assert model.backbone_feature_sizes == [[128, 128], [64, 64], [32, 32]]
    assert model.memory_attention.position_ids.shape[0] == 32 * 32
