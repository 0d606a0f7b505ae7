"""Every code of ResultCode.msg has a test that provokes it over ROS: a table of them, checked against their sources."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from pixelrefer_ros.msg import ResultCode

HERE = Path(__file__).parent
# A code -> the test that provokes it, and what that test must name: the code itself, or, for the two that are only ever
# told as the reason in status or in the log, the words.
NODE, ASK = 'test_node.py', 'test_ask_action.py'
FAULTS = 'test_a_fault_gets_its_own_code_and_a_sentence'
DEVICE = 'test_a_fault_of_the_device_aborts_the_goal_and_the_next_is_served'
PROVOKED = {
    'NONE': (NODE, 'test_every_kind_of_prompt_finds_the_square', 'NONE'),
    'UNKNOWN': (ASK, DEVICE, 'UNKNOWN'),
    'NOT_READY': (NODE, 'test_an_inactive_node_says_not_ready_keeps_its_objects_and_comes_back', 'NOT_READY'),
    'NO_IMAGE': (NODE, 'test_reset_forgets_objects_and_images', 'NO_IMAGE'),
    'STALE_IMAGE': (NODE, FAULTS, 'STALE_IMAGE'),
    'INVALID_IMAGE': (NODE, FAULTS, 'INVALID_IMAGE'),
    'INVALID_CAMERA_INFO': (
        'test_positions.py', 'test_a_camera_that_is_not_calibrated_gives_no_position', 'the camera is not calibrated',
    ),
    'NO_TRANSFORM': (
        'test_positions.py',
        'test_a_transform_that_is_a_little_old_counts_and_one_that_is_too_old_does_not',
        'no transform',
    ),
    'UNKNOWN_OBJECT': (NODE, 'test_removing_is_all_or_nothing', 'UNKNOWN_OBJECT'),
    'DUPLICATE_OBJECT': (NODE, FAULTS, 'DUPLICATE_OBJECT'),
    'TOO_MANY_OBJECTS': (NODE, FAULTS, 'TOO_MANY_OBJECTS'),
    'OBJECT_NEVER_SEEN': (ASK, 'test_an_object_too_small_to_describe_was_never_seen', 'OBJECT_NEVER_SEEN'),
    'WINDOW_EMPTY': (NODE, FAULTS, 'WINDOW_EMPTY'),
    'INVALID_PROMPT': (NODE, FAULTS, 'INVALID_PROMPT'),
    'EMPTY_PROMPT': (NODE, 'test_adding_is_all_or_nothing', 'EMPTY_PROMPT'),
    'PROMPT_OUTSIDE_IMAGE': (NODE, FAULTS, 'PROMPT_OUTSIDE_IMAGE'),
    'PROMPT_NOT_FINITE': (NODE, FAULTS, 'PROMPT_NOT_FINITE'),
    'MASK_SIZE_MISMATCH': (NODE, FAULTS, 'MASK_SIZE_MISMATCH'),
    'NOTHING_FOUND': (
        'test_detecting.py', 'test_words_that_name_nothing_are_an_error_and_nothing_is_added', 'NOTHING_FOUND',
    ),
    'INVALID_QUESTION': (NODE, FAULTS, 'INVALID_QUESTION'),
    'QUESTION_TOO_LONG': (NODE, FAULTS, 'QUESTION_TOO_LONG'),
    'INVALID_REQUEST': (NODE, FAULTS, 'INVALID_REQUEST'),
    'UNSUPPORTED': (NODE, FAULTS, 'UNSUPPORTED'),
    'BUSY': (ASK, 'test_a_full_queue_is_busy', 'BUSY'),
    'TIMEOUT': (NODE, 'test_an_answer_past_its_deadline_is_a_timeout', 'TIMEOUT'),
    'CANCELED': (ASK, 'test_cancelling_stops_within_one_token_and_keeps_the_text', 'CANCELED'),
    'OUT_OF_MEMORY': (ASK, DEVICE, 'OUT_OF_MEMORY'),
    'MODEL_ERROR': (ASK, DEVICE, 'MODEL_ERROR'),
}  # fmt: skip


def codes() -> set[str]:
    """The names of the constants of the message."""
    names = dir(type(ResultCode))
    return {name for name in names if name.isupper() and isinstance(getattr(ResultCode, name), int)}


def body_of(file: str, test: str) -> str:
    """The source of a test: its decorators, its body, and the tables of its module that these name."""
    text = (HERE / file).read_text()
    tree = ast.parse(text)
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == test]
    assert len(found) == 1, f'{file} has {len(found)} tests {test}'
    parts = [*found[0].decorator_list, found[0]]
    source = '\n'.join(ast.get_source_segment(text, part) for part in parts)
    tables = [
        ast.get_source_segment(text, node)
        for node in tree.body
        if isinstance(node, ast.Assign) and re.search(rf'\b{node.targets[0].id}\b', source)
    ]
    return '\n'.join([source, *tables])


def test_the_table_has_every_code_of_the_message_and_no_other():
    assert set(PROVOKED) == codes()


@pytest.mark.parametrize('code', PROVOKED)
def test_a_code_is_named_by_the_test_that_provokes_it(code):
    file, test, words = PROVOKED[code]
    assert re.search(rf'\b{words}\b', body_of(file, test))
