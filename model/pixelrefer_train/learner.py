"""One training step's computation: pictures in, loss and exact matches out. ``T`` tokens to predict."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from pixelrefer_core.errors import QuestionTooLongError
from pixelrefer_core.model_config import Compatibility, ModelConfig
from pixelrefer_core.object_views import ViewPlan, plan_views
from pixelrefer_core.pixelrefer import PixelRefer
from pixelrefer_core.prompt import scene_slot
from pixelrefer_core.scene import SceneTokens
from pixelrefer_core.types import NANOSECONDS, Frame, ObjectTokens, ObjectView

from .binding import Binding
from .dialogue import Dialogue
from .feature_cache import FeatureCache
from .guide import Guide
from .meaning import Meaning
from .options import Options
from .packed_attention import use_packed_attention
from .packing import Branch, Integers, PackedBatch, PackedSample, join, pack
from .recall import Recall
from .samples import Sample, Turn, check_sample
from .travel import NO_VIEW, UNKNOWN, Travel, number_views, ways_of


@dataclass(frozen=True, eq=False)
class Questions:
    """A sample without its pictures. ``stamps_ns``, ``ways``: of the object-frames of each object."""

    stamps_ns: tuple[tuple[int, ...], ...]
    ways: tuple[tuple[int, ...], ...]
    turns: tuple[Turn, ...]
    chained: bool
    scene: tuple[Frame, ...]


@dataclass(frozen=True, eq=False)
class PreparedBatch:
    """Several samples, their pictures cut and scaled. ``plan`` is None when no object is in them."""

    plan: ViewPlan | None
    samples: tuple[Questions, ...]


def prepare(samples: Sequence[Sample], config: ModelConfig, compat: Compatibility) -> PreparedBatch:
    """Do what needs no weights, for all samples at once. Raises what :func:`check_sample` and the views raise."""
    views: list[ObjectView] = []
    questions = []
    for sample in samples:
        check_sample(sample)
        objects = sample.views()
        views += itertools.chain.from_iterable(objects)
        stamps = tuple(tuple(view.frame.stamp_ns for view in own) for own in objects)
        scene = () if config.rules.infusion_heads else sample.scene or sample.frames
        ways = tuple(ways_of(own) for own in objects)
        questions.append(Questions(stamps, ways, sample.turns, sample.chained, scene))
    return PreparedBatch(plan_views(views, config, compat) if views else None, tuple(questions))


@dataclass(frozen=True, eq=False)
class Outcome:
    """``loss``: mean over questions of the mean over their tokens. ``correct``: bool, a question each.

    A question is correct when every token of its answer is the likeliest one after those before it, which is
    when greedy decoding would write exactly this answer. ``branches``: the questions.
    """

    loss: torch.Tensor
    correct: torch.Tensor
    branches: tuple[Branch, ...]


@dataclass(frozen=True, eq=False)
class _Asked:
    """A sample ready for the language model.

    ``tokens``: of its scene and objects, in order; ``ways``, ``views``: of all rows of these, as in :mod:`~.travel`.
    """

    branches: Sequence[Branch]
    packed: PackedSample
    tokens: Sequence[torch.Tensor]
    ways: Integers
    views: Integers


class Learner(nn.Module):
    """A model with the loss on its answers. ``cache``: of its vision encoder's features, while that is frozen."""

    def __init__(self, model: PixelRefer) -> None:
        super().__init__()
        self.model = model
        self.cache: FeatureCache | None = None
        self._guides: list[tuple[float, Guide]] = []
        self._dialogue = Dialogue(model.tokenizer)
        use_packed_attention(model.language_model.model)

    def guide(
        self,
        *,
        binding: float = 0.0,
        meaning: float = 0.0,
        options: float = 0.0,
        travel: float = 0.0,
        recall: float = 0.0,
    ) -> None:
        """Add so much of what these guides ask for to the loss in training.

        Raises :class:`InvalidRequestError` when the model is not made for it.
        """
        for _, guide in self._guides:
            guide.close()
        wanted: tuple[tuple[float, type[Guide]], ...] = (
            (binding, Binding),
            (meaning, Meaning),
            (options, Options),
            (travel, Travel),
            (recall, Recall),
        )
        self._guides = [(weight, kind(self.model)) for weight, kind in wanted if weight]

    def forward(self, batch: PreparedBatch) -> Outcome:
        """Answer all questions of a batch. Raises :class:`QuestionTooLongError`."""
        model = self.model
        rest = iter(self._object_tokens(batch.plan) if batch.plan is not None else [])
        samples = []
        for questions in batch.samples:
            objects = [
                [ObjectTokens(next(rest), stamp) for stamp in stamps] for stamps in questions.stamps_ns
            ]
            scene = self._scene(questions.scene)
            own = self._branches(questions, objects, scene)
            tokens = [*(scene.frames if scene is not None else ()), *(t.tokens for v in objects for t in v)]
            scenes = len(scene.frames) if scene is not None else 0
            ways = [*[UNKNOWN] * scenes, *itertools.chain.from_iterable(questions.ways)]
            views = [*[NO_VIEW] * scenes, *number_views([len(stamps) for stamps in questions.stamps_ns])]
            sizes = [len(token) for token in tokens]
            packed = pack(own, (model.image_id, model.region_id))
            samples.append(_Asked(own, packed, tokens, np.repeat(ways, sizes), np.repeat(views, sizes)))
        vectors = [token for sample in samples for token in sample.tokens]
        rows = join(
            [sample.packed for sample in samples],
            [len(sample.views) for sample in samples],
            np.concatenate([sample.ways for sample in samples]),
            np.concatenate([sample.views for sample in samples]),
        ).to(model.device)
        loss, correct = self._predict(rows, vectors)
        return Outcome(loss, correct, tuple(branch for sample in samples for branch in sample.branches))

    def _object_tokens(self, plan: ViewPlan) -> list[torch.Tensor]:
        visual_model = self.model.visual_model
        encoder = self.cache or visual_model
        is_frozen = not any(parameter.requires_grad for parameter in visual_model.parameters())
        with torch.no_grad() if is_frozen else nullcontext(), self._exactly() if is_frozen else nullcontext():
            return visual_model.tokenize_views(plan, *encoder.encode_pictures(plan.pictures)).unbind()

    def _exactly(self) -> torch.autocast:
        """Return a context in which mixed precision is off: what does not learn is as the model in use sees it."""
        return torch.autocast(self.model.device.type, enabled=False)

    def _scene(self, frames: Sequence[Frame]) -> SceneTokens | None:
        if not frames:
            return None
        video = len(frames) > 1
        self.model.check_scene(frames, video=video)
        times = [(frame.stamp_ns - frames[0].stamp_ns) / NANOSECONDS for frame in frames] if video else None
        return self.model.visual_model.embed_scene([frame.image for frame in frames], times)

    def _branches(
        self, questions: Questions, objects: list[list[ObjectTokens]], scene: SceneTokens | None
    ) -> list[Branch]:
        slots = self.model.region_slots(objects)
        text = scene_slot([len(frame) for frame in scene.frames], scene.times_s) if scene is not None else ''
        branches = self._dialogue.branches(questions.turns, slots, scene=text, chained=questions.chained)
        longest = max(len(branch.ids) for branch in branches)
        room = self.model.config.language.max_position_embeddings
        if longest > room:
            raise QuestionTooLongError(
                f'a conversation of {longest} tokens is longer than the {room} that the model reads: '
                f'{questions.turns[0].instruction!r}'
            )
        return branches

    def _predict(
        self, rows: PackedBatch, vectors: Sequence[torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        language = self.model.language_model.model
        embeds = language.get_input_embeddings()(rows.ids)  # (T, D)
        if vectors:
            tokens = torch.cat(list(vectors)).to(embeds.dtype)[rows.rows]
            embeds = embeds.index_copy(0, rows.places, tokens)
        hidden = language.model(
            inputs_embeds=embeds[None],
            attention_mask=dict.fromkeys(language.config.layer_types),  # the layout says what is seen
            position_ids=rows.positions[None],
            use_cache=False,
            layout=rows.layout,
        ).last_hidden_state[0]
        logits = language.lm_head(hidden[rows.sources]).float()  # (T, vocabulary)
        losses = functional.cross_entropy(logits, rows.targets, reduction='none')
        wrong = logits.detach().argmax(dim=-1) != rows.targets
        count = int(rows.owners[-1]) + 1
        mistakes = torch.zeros(count, device=wrong.device).index_add_(0, rows.owners, wrong.float())
        loss = (losses * rows.weights).sum()
        if self.training:
            loss = loss + sum(weight * guide.loss(rows, embeds) for weight, guide in self._guides)
        return loss, mistakes == 0
