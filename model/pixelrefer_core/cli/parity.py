"""``pixelrefer parity``: does this code give the tensors that the official code gave?"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import InvalidRequestError

if TYPE_CHECKING:
    from ..official_query import OfficialQuery, QueryTensors
    from ..pixelrefer import PixelRefer

OBJECT_TOKENS_TOLERANCE = 1e-5
EMBEDS_TOLERANCE = 1e-5
LOGITS_TOLERANCE = 1e-4

Golden = dict[str, npt.NDArray[Any]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of the verb."""
    parser.add_argument(
        '--checkpoint', required=True, metavar='DIR', help='model folder in the official layout'
    )
    parser.add_argument(
        '--golden', required=True, nargs='+', metavar='FILE', help='tensors of the official code, .npz'
    )


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Compare every golden file; returns ``{case: {figures, passed}, ..., passed}``."""
    from ..checkpoint import load_model

    model = load_model(args.checkpoint, device='cpu', dtype='float32', compat='official')
    results: dict[str, Any] = {}
    print(f'{"case":32} {"object tokens":>14} {"embeddings":>12} {"logits":>12}  input ids   greedy ids')
    for file in map(Path, args.golden):
        figures = compare(model, read_golden(file))
        results[file.stem] = figures
        _print_row(file.stem, *figures.values())
    results['passed'] = all(figures['passed'] for figures in results.values())
    return results


def _print_row(
    case: str, objects: float, embeds: float, logits: float, input_ids: bool, greedy_ids: bool, passed: bool
) -> None:
    words = ('equal ' if equal else 'differ' for equal in (input_ids, greedy_ids))
    verdict = 'ok' if passed else 'FAILED'
    print(f'{case:32} {objects:14.2e} {embeds:12.2e} {logits:12.2e}  {"      ".join(words)}  {verdict}')


def read_golden(file: Path) -> Golden:
    """Read the tensors of one case. Raises :class:`InvalidRequestError` for another kind of file."""
    try:
        with np.load(file) as content:
            golden = dict(content)
    except (OSError, ValueError) as error:
        raise InvalidRequestError(f'{file} cannot be read as .npz: {error}') from error
    missing = {
        'frames',
        'modal',
        'prompt',
        'input_ids',
        'inputs_embeds',
        'logits',
        'greedy_ids',
    } - golden.keys()
    if missing:
        raise InvalidRequestError(f'{file} is no golden case: it lacks {", ".join(sorted(missing))}')
    return golden


def golden_query(golden: Golden) -> OfficialQuery:
    """Return the inputs of a golden case, its initial centroids included."""
    from ..official_query import OfficialQuery

    masks = golden.get('masks', ())
    return OfficialQuery(
        frames=list(golden['frames']),
        prompt=str(golden['prompt']),
        times_s=golden['timestamps_s'].tolist() if 'timestamps_s' in golden else (),
        masks=[mask != 0 for mask in masks],
        mask_frames=golden['mask_frame_index'].tolist() if len(masks) else (),
        object_frames=json.loads(str(golden.get('object_frame_lists', '[]'))),
        annotated_frames=list(golden.get('annotated_frames', ())),
        seeds=[golden.get(f'kmeans_init_{index}') for index in range(len(masks))],
    )


def compare(model: PixelRefer, golden: Golden) -> dict[str, Any]:
    """Run a golden case and return the largest differences, in the unit of each tensor."""
    from ..official_query import run_query

    tensors = run_query(model, golden_query(golden))
    figures = {
        'object_tokens_max_abs': _object_tokens_difference(tensors, golden),
        'inputs_embeds_max_abs': _difference(tensors.inputs_embeds, golden['inputs_embeds'][0]),
        'logits_max_abs': _difference(tensors.logits, golden['logits'][0]),
        'input_ids_equal': tensors.input_ids == golden['input_ids'][0].tolist(),
        'greedy_ids_equal': _greedy_ids(model, tensors, golden) == golden['greedy_ids'].tolist(),
    }
    passed = (
        figures['object_tokens_max_abs'] <= OBJECT_TOKENS_TOLERANCE
        and figures['inputs_embeds_max_abs'] <= EMBEDS_TOLERANCE
        and figures['logits_max_abs'] <= LOGITS_TOLERANCE
        and figures['input_ids_equal']
        and figures['greedy_ids_equal']
    )
    return {**figures, 'passed': passed}


def _greedy_ids(model: PixelRefer, tensors: QueryTensors, golden: Golden) -> list[int]:
    return model.language_model.greedy_ids(tensors.inputs_embeds, len(golden['greedy_ids']))


def _object_tokens_difference(tensors: QueryTensors, golden: Golden) -> float:
    """Compare object tokens before and after infusion and projection."""
    pairs = [(cluster, golden[f'object_features_{index}']) for index, cluster in enumerate(tensors.clusters)]
    if 'region_tokens' in golden:
        pairs.append((tensors.region_tokens, golden['region_tokens']))
    return max((_difference(ours, theirs) for ours, theirs in pairs), default=0.0)


def _difference(ours: Any, theirs: npt.NDArray[Any]) -> float:
    values = ours.float().numpy()
    if values.shape != theirs.shape:
        return float('inf')
    return float(np.abs(values - theirs).max(initial=0.0))
