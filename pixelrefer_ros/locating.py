"""Where tracked objects are: depth, camera and tf brought together for one frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pixelrefer_core.errors import PixelReferError
from pixelrefer_core.positions import locate
from pixelrefer_core.settings import Settings
from pixelrefer_core.types import Frame, Positions, TrackedObject
from pixelrefer_ros.depth_sync import DepthSync
from pixelrefer_ros.transforms import Transforms


class Locator:
    """Computes positions on whatever thread asks; without depth it returns at once."""

    def __init__(self, depth: DepthSync, transforms: Transforms, settings: Callable[[], Settings]) -> None:
        self._depth = depth
        self._transforms = transforms
        self._settings = settings

    def locate(self, frame: Frame, objects: Sequence[TrackedObject]) -> Positions:
        """Return the positions of objects on a frame; none, with the reason, where something is missing.

        Without a transform into ``target_frame`` there are none either: a position in another frame than the one that
        was asked for would be taken for it.
        """
        settings = self._settings()
        target = settings.target_frame
        try:
            depth = self._depth.of(frame)
            transform = (
                self._transforms.lookup(
                    target,
                    frame.frame_id,
                    frame.stamp_ns,
                    tolerance_s=settings.depth.tf_tolerance_s,
                )
                if target and target != frame.frame_id
                else None
            )
            found = {
                item.object_id: locate(
                    item.mask,
                    depth,
                    box=item.box_xyxy,
                    minimum=settings.depth.minimum_measurements,
                    transform=transform,
                )
                for item in objects
            }
        except PixelReferError as error:
            return Positions(problem=str(error))
        return Positions(target or frame.frame_id, found)
