"""PixelRefer and PixelRefer-Lite: one class; which of the two it is stands in its configuration.

``B`` object-frames, ``K`` object tokens, ``T`` patches of all pictures, ``C`` channels of the vision encoder,
``D`` width of the language model.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from .decoding import DecodingRules, check_options
from .errors import (
    DeviceOutOfMemoryError,
    InvalidImageError,
    InvalidRequestError,
    ModelError,
    QuestionTooLongError,
    UnsupportedError,
    WindowEmptyError,
)
from .generation import Decoder, OnText, ShouldStop
from .geometry import CELL_AREA, PATCH, Grid
from .language_model import LanguageModel, PromptEmbedding
from .model_config import COMPATIBILITY, Compatibility, ModelConfig
from .object_infusion import ObjectInfusion
from .object_tokenizer import ObjectTokenizer, batch_cells, resample
from .object_views import ViewPlan, check_image, fit_picture, plan_views
from .preprocess import Normalizer, grid_of, to_patches
from .projector import Projector
from .prompt import IMAGE_TOKEN, REGION_TOKEN, chat, check_text, fill_regions, region_slot, scene_slot
from .scene import SceneTokens, changed_cells
from .types import (
    NANOSECONDS,
    Frame,
    Generation,
    GenerationOptions,
    ImageArray,
    ModelInfo,
    ObjectTokens,
    ObjectView,
)
from .vision_encoder import VisionEncoder


@dataclass(frozen=True)
class Identity:
    """Where weights come from; see :class:`ModelInfo`."""

    name: str
    revision: str = ''
    trained: bool = False


@dataclass(frozen=True, eq=False)
class EncodedObjects:
    """Object tokens on their way: ``clusters`` (B, K, C) after SAOT, ``tokens`` (B, K, D) when ready.

    ``filled``: how many of the K clusters hold something. ``given``: how many the language model is given.
    """

    clusters: torch.Tensor
    tokens: torch.Tensor
    filled: tuple[int, ...]
    given: tuple[int, ...]

    def unbind(self) -> list[torch.Tensor]:
        """Return the tokens of each object, (given, D)."""
        return [tokens[:count] for tokens, count in zip(self.tokens, self.given, strict=True)]


class PixelRefer(nn.Module):
    """Makes object tokens out of frames and masks, and text out of object tokens."""

    def __init__(
        self,
        config: ModelConfig,
        tokenizer: PreTrainedTokenizerBase,
        decoding: DecodingRules,
        *,
        compat: Compatibility = COMPATIBILITY['fixed'],
        identity: Identity = Identity('unnamed'),
    ) -> None:
        """Compose the parts. Raises :class:`ModelError` when the tokenizer lacks a placeholder."""
        super().__init__()
        rules, channels, width = config.rules, config.vision.hidden_size, config.language.hidden_size
        self.config, self.tokenizer, self.compat, self.identity = config, tokenizer, compat, identity
        self.vision_encoder = VisionEncoder(config.vision)
        self.object_tokenizer = ObjectTokenizer(channels, rules)
        self.object_infusion = (
            ObjectInfusion(channels, rules.infusion_heads) if rules.infusion_heads else None
        )
        self.object_projector = Projector(channels, width)
        # Lite never shows scenes to its language model, but its checkpoints carry the projector.
        self.scene_projector = Projector(channels, width)
        self.language_model = LanguageModel(config.language)
        self.decoder = Decoder(self.language_model, tokenizer, decoding)
        self.region_id = self._token_id(REGION_TOKEN)
        self.image_id = self._token_id(IMAGE_TOKEN)
        self._control_tokens = frozenset((*tokenizer.get_added_vocab(), '<video>'))
        self._normalize = Normalizer(config.vision.image_mean, config.vision.image_std)

    def _token_id(self, token: str) -> int:
        token_id = self.tokenizer.get_added_vocab().get(token)
        if token_id is None or token_id >= self.config.language.vocab_size:
            raise ModelError(f'the tokenizer lacks {token}, or its id lies outside the embedding table')
        return token_id

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.object_tokenizer.pos_linear.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights."""
        return self.object_tokenizer.pos_linear.weight.dtype

    @property
    def info(self) -> ModelInfo:
        """What this model is and where it runs."""
        return ModelInfo(
            name=self.identity.name,
            revision=self.identity.revision,
            device=str(self.device),
            dtype=str(self.dtype).removeprefix('torch.'),
            trained=self.identity.trained,
            parameters=sum(parameter.numel() for parameter in self.parameters()),
            context_length=self.config.language.max_position_embeddings,
        )

    # --- from pictures to tokens ---

    @torch.no_grad()
    def encode_objects(self, views: Sequence[ObjectView]) -> list[ObjectTokens]:
        """Make the tokens of each view, (K, D) on the device, in one encoder call.

        Views of one frame share its global picture. Raises :class:`InvalidImageError`,
        :class:`MaskSizeMismatchError`, :class:`EmptyPromptError` or :class:`DeviceOutOfMemoryError`.
        """
        if not views:
            return []
        with memory_guard():
            encoded = self.embed_views(plan_views(views, self.config, self.compat))
        stamps = [view.frame.stamp_ns for view in views]
        return [ObjectTokens(*pair) for pair in zip(encoded.unbind(), stamps, strict=True)]

    def embed_views(self, plan: ViewPlan) -> EncodedObjects:
        """Run SAOT, infusion and projection on planned views; differentiable."""
        grids = [grid_of(picture) for picture in plan.pictures]
        patches = self._patches([to_patches(picture) for picture in plan.pictures])
        features = self.vision_encoder(patches, grids, [1] * len(grids))  # (T, C)
        per_picture = features.split([grid.cells for grid in grids])
        count, num_tokens = len(plan.objects), self.config.rules.num_tokens
        packed, offsets = _on_mask_grids(features, per_picture[:count], grids[:count], plan)
        batch = batch_cells(plan.objects, offsets, num_tokens, plan.seeds).to(self.device)
        clusters = self.object_tokenizer(packed, batch)  # (B, K, C)
        fused = clusters
        if self.object_infusion is not None:
            split = count + len(plan.local)
            local = torch.stack(per_picture[count:split])[list(plan.local_of)]  # (B, L, C)
            whole = torch.stack(per_picture[split:])[list(plan.whole_of)]  # (B, G, C)
            fused = self.object_infusion(clusters, local, whole)
        filled = tuple(min(cells, num_tokens) for cells in batch.counts)
        given = (num_tokens,) * count if self.config.rules.pad_tokens else filled
        return EncodedObjects(clusters, self.object_projector(fused), filled, given)

    def _patches(self, patches: Sequence[npt.NDArray[np.uint8]]) -> torch.Tensor:
        return self._normalize(patches, self.device, self.dtype)  # (T, 588)

    @torch.no_grad()
    def encode_scene(self, frames: Sequence[Frame], *, video: bool) -> SceneTokens:
        """Make the scene tokens of one image, or of a video whose times count from its first frame.

        Raises :class:`UnsupportedError` for the Lite variant, which reads object tokens alone,
        :class:`InvalidImageError` or :class:`DeviceOutOfMemoryError`.
        """
        self.check_scene(frames, video=video)
        times = [(frame.stamp_ns - frames[0].stamp_ns) / NANOSECONDS for frame in frames] if video else None
        with memory_guard():
            return self.embed_scene([frame.image for frame in frames], times)

    def check_scene(self, frames: Sequence[Frame], *, video: bool) -> None:
        """Raise what :meth:`encode_scene` raises for frames that make no scene."""
        if self.object_infusion is not None:
            raise UnsupportedError('PixelRefer-Lite reads object tokens alone; it cannot be shown a scene')
        if not frames or (len(frames) > 1 and not video):
            raise InvalidRequestError(
                f'a scene is one image or the frames of a video, got {len(frames)} images'
            )
        for frame in frames:
            check_image(frame.image)
            if frame.image.shape != frames[0].image.shape:
                raise InvalidImageError('the frames of a video must have one size')

    def embed_scene(self, images: Sequence[ImageArray], times_s: Sequence[float] | None) -> SceneTokens:
        """Encode, project and thin out a scene; ``times_s`` of a video, None for an image; differentiable."""
        merge = self.config.spatial_merge if times_s is not None else 1
        budget = self.config.max_length // len(images) * merge**2 * CELL_AREA
        pictures = [fit_picture(image, budget, factor=PATCH * merge) for image in images]
        patches = self._patches([to_patches(picture, merge) for picture in pictures])
        grids = [grid_of(picture) for picture in pictures]
        tokens = self.scene_projector(self.vision_encoder(patches, grids, [merge] * len(grids)))
        counts = tuple(grid.cells // merge**2 for grid in grids)
        frames = tokens.split(counts)
        if len(frames) > 1:
            changed = changed_cells(patches.view(len(frames), counts[0], -1))
            frames = tuple(frame[kept] for frame, kept in zip(frames, changed, strict=True))
        return SceneTokens(frames, counts, None if times_s is None else tuple(times_s))

    # --- from tokens to text ---

    def generate(
        self,
        instruction: str,
        objects: Sequence[Sequence[ObjectTokens]],
        *,
        options: GenerationOptions,
        on_text: OnText | None = None,
        should_stop: ShouldStop | None = None,
        scene: SceneTokens | None = None,
    ) -> Generation:
        """Answer an instruction that holds one ``<region>`` for each object, in order.

        ``objects``: for each object its tokens, oldest frame first. ``on_text`` gets whole characters only;
        ``should_stop`` is asked between tokens and between chunks of the prompt and may use the device.
        Raises :class:`InvalidQuestionError`, :class:`InvalidRequestError`, :class:`QuestionTooLongError`,
        :class:`WindowEmptyError`, :class:`ModelError` or :class:`DeviceOutOfMemoryError`.
        """
        check_options(options)
        check_text(instruction, self._control_tokens)
        content = fill_regions(instruction, self._region_slots(objects))
        if scene is not None:
            content = scene_slot([len(frame) for frame in scene.frames], scene.times_s) + content.strip()
        ids = self.token_ids(chat(content))
        room = self._room(ids)
        with memory_guard():
            vectors = {
                self.region_id: [view.tokens for views in objects for view in views],
                self.image_id: list(scene.frames) if scene is not None else [],
            }
            return self.decoder.generate(
                self.embed_prompt(ids, vectors),
                replace(options, max_new_tokens=min(options.max_new_tokens, room)),
                on_text or _ignore,
                should_stop or _never,
            )

    def _room(self, ids: Sequence[int]) -> int:
        length = self.config.language.max_position_embeddings
        if len(ids) >= length:
            raise QuestionTooLongError(
                f'the prompt has {len(ids)} tokens, the model reads {length}: '
                'ask about fewer objects, a shorter window, or in fewer words'
            )
        return length - len(ids)

    def _region_slots(self, objects: Sequence[Sequence[ObjectTokens]]) -> list[str]:
        for number, views in enumerate(objects, start=1):
            if not views:
                raise WindowEmptyError(f'object {number} of the question has no frame to look at')
        stamps = [view.stamp_ns for views in objects for view in views]
        # Objects seen together on one frame are an image to the model, anything else a video.
        timed = self.config.rules.region_times and (
            len(set(stamps)) > 1 or any(len(views) > 1 for views in objects)
        )
        slots = []
        for views in objects:
            counts = [len(view.tokens) for view in views]
            times = [(view.stamp_ns - min(stamps)) / NANOSECONDS for view in views]
            slots.append(region_slot(counts, times if timed else None))
        return slots

    def token_ids(self, text: str) -> list[int]:
        """Split a rendered prompt into token ids."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)['input_ids']
        return ids

    @torch.no_grad()
    def embed_prompt(
        self, ids: Sequence[int], vectors: Mapping[int, Sequence[torch.Tensor]]
    ) -> PromptEmbedding:
        """Look up ``ids`` and put ``vectors`` (n, D), in order, where their placeholder's id stands.

        Raises :class:`ModelError` when a placeholder and its vectors differ in number or width.
        """
        embeds = self.language_model.embed_ids(ids)
        keys: list[Hashable] = list(ids)
        for placeholder, tensors in vectors.items():
            places = [place for place, token in enumerate(ids) if token == placeholder]
            rows = [(id(tensor), row) for tensor in tensors for row in range(len(tensor))]
            if len(places) != len(rows):
                raise ModelError(f'{len(rows)} vectors for {len(places)} places in the prompt')
            if any(tensor.shape[1] != embeds.shape[1] for tensor in tensors):
                raise ModelError('the object tokens were made by another model: their width differs')
            for place, row in zip(places, rows, strict=True):
                keys[place] = row
            if places:
                where = torch.tensor(places, device=embeds.device)
                embeds = embeds.index_copy(0, where, torch.cat(list(tensors)).to(embeds.dtype))
        return PromptEmbedding(embeds, keys, [tensor for tensors in vectors.values() for tensor in tensors])


def _on_mask_grids(
    features: torch.Tensor, crops: Sequence[torch.Tensor], grids: Sequence[Grid], plan: ViewPlan
) -> tuple[torch.Tensor, list[int]]:
    """Return features in which every crop has its mask's grid, and where each crop's begin.

    Only the official budget ever changes a crop's grid; its features are then resampled and appended.
    """
    offsets, start, extra = [], 0, [features]
    end = len(features)
    for crop, grid, item in zip(crops, grids, plan.objects, strict=True):
        offsets.append(start)
        start += grid.cells
        if grid != item.grid:
            offsets[-1] = end
            extra.append(resample(crop, grid, item.grid))
            end += item.grid.cells
    return (torch.cat(extra) if len(extra) > 1 else features), offsets


@contextmanager
def memory_guard() -> Iterator[None]:
    """Turn running out of device memory into :class:`DeviceOutOfMemoryError`, and give the memory back."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        torch.cuda.empty_cache()
        raise DeviceOutOfMemoryError(
            'the GPU ran out of memory: track fewer objects, shorten the window or choose a smaller model'
        ) from error


def _ignore(piece: str) -> None:
    """Hear no text."""


def _never() -> None:
    """Never stop."""
