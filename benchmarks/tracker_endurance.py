"""Does SAM 2 stay as quick and as small over ten thousand frames as it is at the start?

Three objects; one is removed and another added every fifty frames, one is corrected every hundred. Resident memory
and the time a frame are fitted by a line over the frames after the first tenth, which fills the windows.
"""

from __future__ import annotations

import argparse
import gc
import os
import time
from dataclasses import replace

import numpy as np
from tracker_objects import Camera, keep_in_sight

from pixelrefer_core.cli.rows import print_rows
from pixelrefer_core.measuring import load_average
from pixelrefer_core.settings import Settings, TrackerSettings
from pixelrefer_core.settings_text import add_options, from_options
from pixelrefer_core.tracker.sam2 import Sam2Tracker
from pixelrefer_core.tracker.sam2_loading import RANDOM_NANO, load_sam2

ROWS = 10


def resident_mb() -> float:
    """Memory of this process, MB."""
    with open('/proc/self/statm') as file:
        return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE') / 1e6


def run(tracker: Sam2Tracker, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Stream; returns milliseconds of processor time and resident MB of every frame."""
    camera = Camera(48, 64)
    first = camera.frame()
    tracker.add([camera.prompt('corrected'), camera.prompt('left alone'), camera.prompt('guest 0')], [first])
    milliseconds, memory = np.zeros(frames), np.zeros(frames)
    for k in range(frames):
        frame = camera.frame()
        # Processor time: what else the machine does is not asked.
        start = time.process_time()
        estimates = tracker.step(frame)
        milliseconds[k] = 1000 * (time.process_time() - start)
        if len(estimates) != 3:
            raise RuntimeError(f'{len(estimates)} objects on frame {k}: ids collided')
        if k % 50 == 49:
            tracker.remove([f'guest {k // 50}'])
            tracker.add([camera.prompt(f'guest {k // 50 + 1}')], [frame])
        if k % 100 == 99:
            tracker.add([camera.prompt('corrected')], [frame])
        memory[k] = resident_mb()
    return milliseconds, memory


def slope(values: np.ndarray) -> tuple[float, float]:
    """Rise over 10,000 values of a fitted line, and its standard error."""
    places = np.arange(len(values)) / 10_000
    (rise, _), covariance = np.polyfit(places, values, 1, cov=True)
    return float(rise), float(np.sqrt(covariance[0, 0]))


def main() -> None:
    """Stream and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--frames', type=int, default=10_000)
    add_options(parser, Settings, ('tracker',))
    options = parser.parse_args()
    defaults = replace(Settings(), tracker=TrackerSettings(backend='sam2', path=RANDOM_NANO, image_size=32))
    settings = from_options(options, defaults).tracker
    model = load_sam2(settings)
    keep_in_sight(model)
    gc.collect()
    milliseconds, memory = run(Sam2Tracker(settings, model), options.frames)
    size = options.frames // ROWS
    print_rows(
        [
            {
                'frames': f'{k * size} to {(k + 1) * size}',
                'ms of processor (median)': round(
                    float(np.median(milliseconds[k * size : (k + 1) * size])), 2
                ),
                'resident MB': round(float(memory[(k + 1) * size - 1]), 1),
            }
            for k in range(ROWS)
        ]
    )
    time_rise, time_error = slope(np.minimum(milliseconds[size:], np.quantile(milliseconds, 0.99)))
    memory_rise, memory_error = slope(memory[size:])
    print(
        f'\nover 10,000 frames: {time_rise:+.2f} +- {time_error:.2f} ms a frame, '
        f'{memory_rise:+.2f} +- {memory_error:.2f} MB; load {load_average()}'
    )


if __name__ == '__main__':
    main()
