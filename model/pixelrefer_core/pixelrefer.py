"""PixelRefer and PixelRefer-Lite: one class; which of the two it is stands in its configuration.

``K`` tokens of an object-frame, ``L`` positions of a prompt, ``D`` width of the language model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from .decoding import DecodingRules, check_options
from .device import memory_guard
from .errors import (
    InvalidImageError,
    InvalidRequestError,
    ModelError,
    QuestionTooLongError,
    UnsupportedError,
    WindowEmptyError,
)
from .generation import Decoder, OnText
from .language_model import LanguageModel, PromptEmbedding
from .model_config import COMPATIBILITY, Compatibility, ModelConfig
from .object_views import check_image, plan_views
from .packed_linear import unpack
from .prompt import IMAGE_TOKEN, REGION_TOKEN, chat, check_text, fill_regions, region_slot, scene_slot
from .questions import OBJECT_NAME
from .scene import SceneTokens
from .steps import ShouldStop, Steps, run_steps
from .types import (
    NANOSECONDS,
    Frame,
    Generation,
    GenerationOptions,
    ModelInfo,
    ObjectTokens,
    ObjectView,
)
from .visual_model import VisualModel

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True)
class Identity:
    """Where weights come from; see :class:`ModelInfo`."""

    name: str
    revision: str = ''
    trained: bool = False


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
        self.config, self.tokenizer, self.compat, self.identity = config, tokenizer, compat, identity
        self.visual_model = VisualModel(config)
        self.language_model = LanguageModel(config.language)
        self.decoder = Decoder(self.language_model, tokenizer, decoding)
        self.region_id = self._token_id(REGION_TOKEN)
        self.image_id = self._token_id(IMAGE_TOKEN)
        self._yes_no = (self.token_ids('Yes')[0], self.token_ids('No')[0])
        # Names of objects belong into questions, also where each is one token.
        added = (token for token in tokenizer.get_added_vocab() if not OBJECT_NAME.fullmatch(token))
        self._control_tokens = frozenset((*added, '<video>'))

    def _token_id(self, token: str) -> int:
        token_id = self.tokenizer.get_added_vocab().get(token)
        if token_id is None or token_id >= self.config.language.vocab_size:
            raise ModelError(f'the tokenizer lacks {token}, or its id lies outside the embedding table')
        return token_id

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights."""
        return next(self.parameters()).dtype

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

    def set_attention(self, implementation: str) -> None:
        """Choose how attention is computed: ``sdpa``, or ``flash_attention_2`` where it is installed."""
        for part in (self.visual_model.vision_encoder.model, self.language_model.model):
            part.set_attn_implementation(implementation)

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
            encoded = self.visual_model.embed_views(plan_views(views, self.config, self.compat))
        stamps = [view.frame.stamp_ns for view in views]
        return [ObjectTokens(*pair) for pair in zip(encoded.unbind(), stamps, strict=True)]

    @torch.no_grad()
    def encode_scene(self, frames: Sequence[Frame], *, video: bool) -> SceneTokens:
        """Make the scene tokens of one image, or of a video whose times count from its first frame.

        Raises :class:`UnsupportedError` for the Lite variant, which reads object tokens alone,
        :class:`InvalidImageError` or :class:`DeviceOutOfMemoryError`.
        """
        self.check_scene(frames, video=video)
        times = [(frame.stamp_ns - frames[0].stamp_ns) / NANOSECONDS for frame in frames] if video else None
        with memory_guard():
            return self.visual_model.embed_scene([frame.image for frame in frames], times)

    def check_scene(self, frames: Sequence[Frame], *, video: bool) -> None:
        """Raise what :meth:`encode_scene` raises for frames that make no scene."""
        if self.config.rules.infusion_heads:
            raise UnsupportedError('PixelRefer-Lite reads object tokens alone; it cannot be shown a scene')
        if not frames or (len(frames) > 1 and not video):
            raise InvalidRequestError(
                f'a scene is one image or the frames of a video, got {len(frames)} images'
            )
        for frame in frames:
            check_image(frame.image)
            if frame.image.shape != frames[0].image.shape:
                raise InvalidImageError('the frames of a video must have one size')

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
        ``scene``: for PixelRefer (Vision-Object), from :meth:`encode_scene`.
        Raises :class:`InvalidQuestionError`, :class:`InvalidRequestError`, :class:`QuestionTooLongError`,
        :class:`WindowEmptyError`, :class:`ModelError` or :class:`DeviceOutOfMemoryError`.
        """
        steps = self.generate_in_steps(instruction, objects, options=options, on_text=on_text, scene=scene)
        return run_steps(steps, should_stop or _never)

    def generate_in_steps(
        self,
        instruction: str,
        objects: Sequence[Sequence[ObjectTokens]],
        *,
        options: GenerationOptions,
        on_text: OnText | None = None,
        scene: SceneTokens | None = None,
    ) -> Steps[Generation]:
        """Like :meth:`generate`, in steps between which the device is free for other work."""
        check_options(options)
        with memory_guard(self.decoder.prefixes.clear):
            prompt = self.embed_prompt(instruction, objects, scene)
            options = self._within_context(options, [prompt])
            return (yield from self.decoder.generate_in_steps(prompt, options, on_text or _ignore))

    def generate_batch(
        self,
        questions: Sequence[tuple[str, Sequence[Sequence[ObjectTokens]]]],
        *,
        options: GenerationOptions,
        should_stop: ShouldStop | None = None,
    ) -> list[Generation]:
        """Answer several ``(instruction, objects)`` at once; otherwise like :meth:`generate`."""
        check_options(options)
        if not questions:
            return []
        with memory_guard(self.decoder.prefixes.clear):
            prompts = [self.embed_prompt(instruction, objects) for instruction, objects in questions]
            options = self._within_context(options, prompts)
            return self.decoder.generate_batch(prompts, options, should_stop or _never)

    def choose(
        self,
        instruction: str,
        objects: Sequence[Sequence[ObjectTokens]],
        choices: Sequence[str],
        *,
        scene: SceneTokens | None = None,
    ) -> dict[str, float]:
        """Return how probable the model finds each of ``choices`` as its answer; they add up to one.

        One pass over the prompt where the choices are single tokens (yes/no, A to D). What each choice is
        compared with is the other choices alone, so this is no measure of whether any of them is right.
        Raises like :meth:`generate`.
        """
        if not choices or not all(choices) or len(set(choices)) < len(choices):
            raise InvalidRequestError(f'choices must be different texts, got {list(choices)}')
        with memory_guard(self.decoder.prefixes.clear):
            scores = self.decoder.score(self.embed_prompt(instruction, objects, scene), choices)
        shares = torch.tensor(scores, dtype=torch.float64).softmax(dim=0).tolist()
        return dict(zip(choices, shares, strict=True))

    @property
    def answers_yes_no(self) -> bool:
        """Whether the first token of its answer tells yes from no."""
        yes, no = self._yes_no
        return yes != no

    def yes_probabilities(
        self, questions: Sequence[tuple[str, Sequence[Sequence[ObjectTokens]]]]
    ) -> list[float]:
        """Return how probable a yes is against a no, for several ``(instruction, objects)`` in one pass.

        Of the logits after each prompt those of the first tokens of ``Yes`` and of ``No`` are compared; nothing is
        decoded. Raises :class:`UnsupportedError` when these are one token, else like :meth:`generate`.
        """
        if not self.answers_yes_no:
            raise UnsupportedError(
                'the tokenizer of this model does not tell yes from no by their first token'
            )
        if not questions:
            return []
        with memory_guard(self.decoder.prefixes.clear):
            prompts = [self.embed_prompt(instruction, objects) for instruction, objects in questions]
            return self.decoder.yes_shares(prompts, *self._yes_no)

    def train(self, mode: bool = True) -> Self:
        """Switch to training; keys and values of the old weights are forgotten, packed weights unpacked."""
        self.decoder.prefixes.clear()
        if mode:
            unpack(self)
            self.language_model.tie()
        return super().train(mode)

    def embed_prompt(
        self,
        instruction: str,
        objects: Sequence[Sequence[ObjectTokens]],
        scene: SceneTokens | None = None,
    ) -> PromptEmbedding:
        """Return what the language model reads when it is asked ``instruction``; raises like :meth:`generate`."""
        check_text(instruction, self._control_tokens)
        content = fill_regions(instruction, self.region_slots(objects))
        if scene is not None:
            content = scene_slot([len(frame) for frame in scene.frames], scene.times_s) + content.strip()
        ids = self.token_ids(chat(content))
        length = self.config.language.max_position_embeddings
        if len(ids) >= length:
            raise QuestionTooLongError(
                f'the prompt has {len(ids)} tokens, the model reads {length}: '
                'ask about fewer objects, a shorter window, or in fewer words'
            )
        regions = [view.tokens for views in objects for view in views]
        frames = list(scene.frames) if scene is not None else []
        return self.language_model.embed_prompt(ids, {self.region_id: regions, self.image_id: frames})

    def _within_context(
        self, options: GenerationOptions, prompts: Sequence[PromptEmbedding]
    ) -> GenerationOptions:
        room = self.config.language.max_position_embeddings - max(len(prompt.keys) for prompt in prompts)
        return replace(options, max_new_tokens=min(options.max_new_tokens, room))

    def region_slots(self, objects: Sequence[Sequence[ObjectTokens]]) -> list[str]:
        """Return what stands for each object in a rendered prompt; raises :class:`WindowEmptyError`."""
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


def _ignore(piece: str) -> None:
    """Hear no text."""


def _never() -> None:
    """Never stop."""
