"""The node says why nothing comes out, in words that name the cure."""

from __future__ import annotations

from dataclasses import replace

import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticStatus

from pixelrefer_core.types import ModelInfo, Position, Positions, WorkerStatistics
from pixelrefer_ros.diagnostics import Health, to_diagnostics, to_status

STATISTICS = WorkerStatistics(
    frames_offered=9, frames_tracked=7, frames_dropped=2, frame_rate_hz=10.0, frame_age_s=0.1, track_rate_hz=8.0,
    track_latency_s=0.05, queued_queries=1, answers=4, failures=3, failures_by_code={7010: 3},
)  # fmt: skip
WELL = Health(
    state='active', failure='', image_topic='/camera/image', image_publishers=1, qos_problem='', image_timeout_s=2.0,
    newest_image_ns=5_000_000_007, tracker='flow', tracked_objects=2, watches=3,
    device_memory_bytes=0,
    model=ModelInfo('lite', 'abc', 'cpu', 'float32', True, 1, 4096), statistics=STATISTICS,
    depth_topic='/depth/image', depth_images=5, positions=Positions('eye', {'obj_1': Position((0.0, 0.0, 1.0))}),
)  # fmt: skip


@pytest.mark.parametrize(
    ('change', 'reason'),
    [
        ({'state': 'inactive'}, 'the node is inactive: configure and activate it'),
        ({'failure': 'configure failed: no weights'}, 'configure failed: no weights'),
        ({'image_publishers': 0}, 'nobody publishes /camera/image: check the name of the image topic'),
        ({'qos_problem': 'wrong QoS'}, 'wrong QoS'),
        (
            {'statistics': replace(STATISTICS, frames_offered=0)},
            'has a publisher, but no image has arrived yet',
        ),
        ({'statistics': replace(STATISTICS, frame_age_s=3.2)}, 'no image on /camera/image for 3.2 s'),
    ],
)
def test_a_node_that_is_not_ready_says_why(change, reason):
    status = to_status(replace(WELL, **change), Time())
    assert not status.ready
    assert reason in status.reason


def test_a_node_that_is_well_says_what_it_runs_and_how_fast():
    status = to_status(WELL, Time(sec=1))
    assert status.ready
    assert not status.reason
    assert (status.model, status.tracker, status.device, status.model_trained) == (
        'lite',
        'flow',
        'cpu',
        True,
    )
    assert (status.image_rate, status.track_rate, status.frames_dropped) == (10.0, 8.0, 2)
    assert (status.tracked_objects, status.watches, status.queued_requests) == (2, 3, 1)
    assert (status.newest_image.sec, status.newest_image.nanosec) == (5, 7)


def levels(health):
    message = to_diagnostics(health, Time(), 'node')
    return {entry.name: entry.level for entry in message.status}


def test_diagnostics_are_ok_when_all_is_well():
    assert levels(WELL) == dict.fromkeys(
        ('node: images', 'node: tracker', 'node: positions', 'node: model'), DiagnosticStatus.OK
    )


@pytest.mark.parametrize(('depth_images', 'level'), [(0, DiagnosticStatus.OK), (5, DiagnosticStatus.WARN)])
def test_missing_depth_is_no_fault_but_depth_that_cannot_be_used_is(depth_images, level):
    health = replace(WELL, depth_images=depth_images, positions=Positions(problem='no transform'))
    assert levels(health)['node: positions'] == level
    status = to_status(health, Time())
    assert (status.ready, status.position_reason) == (True, 'no transform')


def test_an_object_without_a_position_is_named():
    positions = Positions('eye', {'cup': Position(problem='3 depth pixels on it, 20 are needed')})
    status = to_status(replace(WELL, positions=positions), Time())
    assert status.position_reason == 'cup: 3 depth pixels on it, 20 are needed'


@pytest.mark.parametrize(
    ('change', 'entry', 'level'),
    [
        ({'image_publishers': 0}, 'node: images', DiagnosticStatus.WARN),
        ({'failure': 'no weights', 'state': 'unconfigured'}, 'node: model', DiagnosticStatus.ERROR),
        ({'model': replace(WELL.model, trained=False)}, 'node: model', DiagnosticStatus.WARN),
        ({'state': 'inactive'}, 'node: images', DiagnosticStatus.OK),
    ],
)
def test_diagnostics_rise_where_the_fault_is(change, entry, level):
    found = levels(replace(WELL, **change))
    assert found.pop(entry) == level
    assert set(found.values()) == {DiagnosticStatus.OK}


def test_diagnostics_name_each_kind_of_failure():
    entry = to_diagnostics(WELL, Time(), 'node').status[2]
    assert ('failures UNKNOWN_OBJECT', '3') in [(pair.key, pair.value) for pair in entry.values]
