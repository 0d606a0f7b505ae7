"""How long questions take, stage by stage, beside the same questions in the reference pipeline.

Answers have a fixed length and nothing ends them early, so random weights cost what trained ones cost.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

from .cost_model import decode_bytes
from .measuring import (
    Durations,
    PartClock,
    circumstances,
    load_average,
    measure_in_turns,
    memory_bandwidth,
    peak_memory_mb,
)
from .object_views import plan_views
from .official_query import OfficialQuery
from .pixelrefer import PixelRefer
from .reference_pipeline import ReferenceAnswer, answer, embed_one_by_one
from .scene import SceneTokens
from .synthetic_clip import synthetic_clip
from .types import NANOSECONDS, Generation, GenerationOptions, ObjectTokens

FIRST_QUESTION = 'What happens to them?'
SECOND_QUESTION = 'Where will they be a second later?'

Objects = list[list[ObjectTokens]]


@dataclass(frozen=True)
class Scenario:
    """What is asked: a window of ``frames`` that all show ``objects``, answered with ``new_tokens``."""

    frames: int
    objects: int
    new_tokens: int
    repeats: int
    warmup: int = 1


@dataclass(frozen=True)
class TimedAnswer:
    """One answer: seconds to its first token, and between tokens."""

    generation: Generation
    first_token_s: float
    token_s: tuple[float, ...]


class Benchmark:
    """Runs one scenario on one model."""

    def __init__(self, model: PixelRefer, scenario: Scenario) -> None:
        self.model, self.scenario = model, scenario
        model.decoder.rules = replace(model.decoder.rules, eos_ids=frozenset())
        self._clip = synthetic_clip(scenario.frames, scenario.objects)
        # Object by object, oldest frame first: the order in which a prompt holds them.
        self._views = [view for item in zip(*self._clip, strict=True) for view in item]
        self._sees_scene = not model.config.rules.infusion_heads
        self._new: list[TimedAnswer] = []
        self._again: list[TimedAnswer] = []
        self._expected: list[ReferenceAnswer] = []

    def run(self, *, reference: bool) -> dict[str, Any]:
        """Measure everything; the keys are those of ``pixelrefer bench --json``."""
        where = circumstances(self.model.device)
        objects, scene = self._object_tokens(), self._scene()
        questions = self._questions(objects, scene)
        stages = self._visual_stages() | self._in_turns(
            questions | (self._reference_ways() if reference else {})
        )
        stages |= self._answer_stages()
        load, peak = load_average(), peak_memory_mb(self.model.device)
        bandwidth = memory_bandwidth(self.model.device)  # after the peak was read: it takes 2 GiB itself
        tokens_per_s = 1e3 / stages['token']['p50']
        return {
            **where,
            'load_average': load,
            'settings': self._settings() | {'bandwidth_gb_s': round(bandwidth / 1e9, 2)},
            'stages_ms': stages,
            'first_token_ms': stages['first token, new objects']['p50'],
            'tokens_per_s': round(tokens_per_s, 3),
            'bandwidth_fraction': float(f'{tokens_per_s * self._bytes_per_token() / bandwidth:.3g}'),
            **peak,
            'ratios': _ratios(stages) if reference else {},
            'quality': self._quality(objects, scene) if reference else {},
        }

    # --- this project's way ---

    def _visual_stages(self) -> dict[str, dict[str, float]]:
        """Time what makes object tokens of one frame, part by part and as a whole."""
        views, visual = self._clip[0], self.model.visual_model
        parts = {
            'vision encoder': visual.vision_encoder,
            'object tokenizer': visual.object_tokenizer,
            'object infusion': visual.object_infusion,
            'projector': visual.object_projector,
        }
        whole = self._in_turns(
            {
                'crops and views': lambda: plan_views(views, self.model.config, self.model.compat),
                'object tokens of a frame': lambda: self.model.encode_objects(views),
            }
        )
        clock = PartClock(self.model.device)
        with clock.running({name: part for name, part in parts.items() if part is not None}):
            for _ in range(self.scenario.repeats):
                self.model.encode_objects(views)
        return whole | {name: Durations(tuple(each)).milliseconds() for name, each in clock.seconds.items()}

    def _questions(self, objects: Objects, scene: SceneTokens | None) -> dict[str, Callable[[], object]]:
        """Ask about new objects, then again about the same ones."""

        def ask_anew() -> None:
            self.model.decoder.prefixes.clear()
            self._new.append(self._ask(FIRST_QUESTION, objects, scene))

        def ask_again() -> None:
            self._again.append(self._ask(SECOND_QUESTION, objects, scene))

        return {'question, tokens ready': ask_anew, 'question, same objects': ask_again}

    def _ask(self, question: str, objects: Objects, scene: SceneTokens | None) -> TimedAnswer:
        after_token: list[float] = []
        start = time.perf_counter()
        generation = self.model.generate(
            self._instruction(question),
            objects,
            options=GenerationOptions(max_new_tokens=self.scenario.new_tokens),
            should_stop=lambda: after_token.append(time.perf_counter()),
            scene=scene,
        )
        # Asked after every token but the last, and before them between chunks of the prompt.
        times = [*after_token[1 - self.scenario.new_tokens :], time.perf_counter()]
        return TimedAnswer(generation, times[0] - start, tuple(np.diff(times).tolist()))

    def _answer_stages(self) -> dict[str, dict[str, float]]:
        new, again = self._new[-self.scenario.repeats :], self._again[-self.scenario.repeats :]
        seconds = {
            'first token, new objects': [item.first_token_s for item in new],
            'first token, same objects': [item.first_token_s for item in again],
            'token': [value for item in new for value in item.token_s],
        }
        return {name: Durations(tuple(values)).milliseconds() for name, values in seconds.items()}

    def _object_tokens(self) -> Objects:
        """Make all object tokens frame by frame, as a tracker does."""
        made = [self.model.encode_objects(views) for views in self._clip]
        return [list(item) for item in zip(*made, strict=True)]

    def _scene(self) -> SceneTokens | None:
        if not self._sees_scene:
            return None
        frames = [views[0].frame for views in self._clip]
        return self.model.encode_scene(frames, video=len(frames) > 1)

    def _instruction(self, question: str) -> str:
        return ', '.join(['<region>'] * self.scenario.objects) + f'\n{question}'

    # --- the reference, and what both must agree on ---

    def _reference_ways(self) -> dict[str, Callable[[], object]]:
        """Return the reference, and this project's way from the pictures on, which compares with it."""

        def ask_from_pictures() -> None:
            self.model.decoder.prefixes.clear()
            self._ask(FIRST_QUESTION, self._object_tokens(), self._scene())

        def ask_reference() -> None:
            self._expected.append(answer(self.model, self._query(), self.scenario.new_tokens))

        return {
            'object tokens of the window': self._object_tokens,
            'reference: object tokens of the window': self._reference_tokens,
            'question from pictures': ask_from_pictures,
            'reference: question': ask_reference,
        }

    @torch.no_grad()
    def _reference_tokens(self) -> None:
        plan = plan_views(self._views, self.model.config, self.model.compat)
        embed_one_by_one(self.model.visual_model, plan)

    def _query(self) -> OfficialQuery:
        """Return the first question in the form of the official code."""
        frames, objects = self.scenario.frames, self.scenario.objects
        tag, prompt = '', self._instruction(FIRST_QUESTION)
        if self._sees_scene:
            tag = '<video>\n' if frames > 1 else '<image>\n'
            prompt = prompt.replace('<region>', '<region>' * frames)
        return OfficialQuery(
            frames=[views[0].frame.image for views in self._clip],
            prompt=tag + prompt,
            times_s=[views[0].frame.stamp_ns / NANOSECONDS for views in self._clip] if frames > 1 else (),
            masks=[view.mask for view in self._views],
            mask_frames=list(range(frames)) * objects,
            object_frames=[list(range(frames))] * objects,
        )

    def _quality(self, objects: Objects, scene: SceneTokens | None) -> dict[str, Any]:
        """Return how far both ways differ; a speed without this says nothing."""
        expected = self._expected[-1]
        tokens = torch.cat([view.tokens for item in objects for view in item])
        prompt = self.model.embed_prompt(self._instruction(FIRST_QUESTION), objects, scene)
        ours, theirs = map(self._next_logits, (prompt.embeds, expected.embedded.inputs_embeds))
        return {
            'object_tokens_max_abs': _difference(tokens, expected.embedded.region_tokens),
            'object_tokens_largest': float(tokens.abs().max()),
            'logits_max_abs': _difference(ours, theirs),
            'logits_largest': float(ours.abs().max()),
            'answer_ids_equal': self._new[-1].generation.token_ids == expected.token_ids,
        }

    def _next_logits(self, embeds: torch.Tensor) -> torch.Tensor:
        language = self.model.language_model
        return language.extend(embeds, language.new_cache())

    # --- bookkeeping ---

    def _in_turns(self, ways: dict[str, Callable[[], object]]) -> dict[str, dict[str, float]]:
        durations = measure_in_turns(
            ways, self.model.device, repeats=self.scenario.repeats, warmup=self.scenario.warmup
        )
        return {name: each.milliseconds() for name, each in durations.items()}

    def _bytes_per_token(self) -> int:
        element = torch.finfo(self.model.dtype).bits // 8
        return decode_bytes(self.model.config, element)

    def _settings(self) -> dict[str, Any]:
        info = self.model.info
        return {
            'model': info.name,
            'variant': self.model.config.rules.model_type,
            'parameters': info.parameters,
            'trained': info.trained,
            'device': info.device,
            'dtype': info.dtype,
            'image': list(self._clip[0][0].frame.image.shape),
            **asdict(self.scenario),
        }


def _difference(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    if ours.shape != theirs.shape:
        return float('inf')
    return float((ours.float() - theirs.float()).abs().max())


def _ratios(stages: dict[str, dict[str, float]]) -> dict[str, float]:
    """Return how many times longer the reference takes, by medians."""
    pairs = {
        'object tokens': ('reference: object tokens of the window', 'object tokens of the window'),
        'question from pictures': ('reference: question', 'question from pictures'),
        'question, tokens ready': ('reference: question', 'question, tokens ready'),
        'question, same objects': ('reference: question', 'question, same objects'),
    }
    return {name: round(stages[a]['p50'] / stages[b]['p50'], 2) for name, (a, b) in pairs.items()}
