"""The same thing over and over: does the node grow?"""

from __future__ import annotations

import random

from stage import BOX, Stage, Usage

from pixelrefer_ros.client import make_prompt

TRANSITIONS = ('configure', 'activate', 'deactivate', 'cleanup')
# After so many the allocator holds what it will hold.
WARM = 5


def add_and_remove(stage: Stage, cycles: int) -> str:
    """Track an object and forget it."""
    begun = stage.usage('pixelrefer_node')
    for number in range(cycles):
        if number == WARM:
            begun = stage.usage('pixelrefer_node')
        stage.robot.add_objects([make_prompt('passing', box=BOX)], replace_existing=True)
        stage.robot.remove_objects(['passing'])
    return _grown(cycles, begun, stage.usage('pixelrefer_node'))


def live_and_die(stage: Stage, rounds: int, seed: int) -> str:
    """Transitions in a random order, those that are refused in this state included, until so many rounds are done."""
    chance = random.Random(seed)
    begun, done, refused = stage.usage('pixelrefer_node'), 0, 0
    while done < rounds:
        transition = chance.choice(TRANSITIONS)
        if not stage.change(transition):
            refused += 1
        elif transition == 'cleanup':
            done += 1
            if done == WARM:
                begun = stage.usage('pixelrefer_node')
    # From any state to active: what is not possible is refused.
    for transition in ('configure', 'activate'):
        stage.change(transition)
    return f'{_grown(rounds, begun, stage.usage("pixelrefer_node"))}, {refused} transitions refused'


def _grown(cycles: int, before: Usage, after: Usage) -> str:
    return f'{cycles} cycles: {after.rss_mb - before.rss_mb:+.1f} MB, {after.threads - before.threads:+d} threads'
