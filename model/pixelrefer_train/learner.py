"""One training step's computation: pictures in, loss and exact matches out. ``T`` tokens to predict."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

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

from .dialogue import Dialogue
from .packing import Branch, PackedBatch, pack, stack, visible
from .samples import Sample, Turn, check_sample


@dataclass(frozen=True, eq=False)
class Questions:
    """A sample without its pictures. ``stamps_ns``: of the object-frames of each object."""

    stamps_ns: tuple[tuple[int, ...], ...]
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
        questions.append(Questions(stamps, sample.turns, sample.chained, scene))
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


class Learner(nn.Module):
    """A model with the loss on its answers."""

    def __init__(self, model: PixelRefer) -> None:
        super().__init__()
        self.model = model
        self._dialogue = Dialogue(model.tokenizer)

    def forward(self, batch: PreparedBatch) -> Outcome:
        """Answer all questions of a batch. Raises :class:`QuestionTooLongError`."""
        model = self.model
        views = model.visual_model.embed_views(batch.plan).unbind() if batch.plan is not None else []
        rest = iter(views)
        branches, packed, vectors, counts = [], [], [], []
        for questions in batch.samples:
            objects = [
                [ObjectTokens(next(rest), stamp) for stamp in stamps] for stamps in questions.stamps_ns
            ]
            scene = self._scene(questions.scene)
            own = self._branches(questions, objects, scene)
            tokens = [*(scene.frames if scene is not None else ()), *(t.tokens for v in objects for t in v)]
            branches += own
            packed.append(pack(own, (model.image_id, model.region_id)))
            vectors += tokens
            counts.append(sum(len(token) for token in tokens))
        rows = stack(packed, counts).to(model.device)
        loss, correct = self._predict(rows, vectors)
        return Outcome(loss, correct, tuple(branches))

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
        embeds = language.get_input_embeddings()(rows.ids)  # (B, L, D)
        if vectors:
            tokens = torch.cat(list(vectors)).to(embeds.dtype)[rows.rows]
            embeds = embeds.flatten(0, 1).index_copy(0, rows.places, tokens).view_as(embeds)
        hidden = language.model(
            inputs_embeds=embeds,
            attention_mask=visible(rows.segments),
            position_ids=rows.positions,
            use_cache=False,
        ).last_hidden_state
        logits = language.lm_head(hidden.flatten(0, 1)[rows.sources]).float()  # (T, vocabulary)
        losses = functional.cross_entropy(logits, rows.targets, reduction='none')
        wrong = logits.detach().argmax(dim=-1) != rows.targets
        count = int(rows.owners[-1]) + 1
        mistakes = torch.zeros(count, device=wrong.device).index_add_(0, rows.owners, wrong.float())
        return (losses * rows.weights).sum(), mistakes == 0
