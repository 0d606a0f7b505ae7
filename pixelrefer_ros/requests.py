"""The services: each reads its request, leaves the work to the device thread, and writes the response."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from rclpy.callback_groups import CallbackGroup
from rclpy.node import Node
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from pixelrefer_core.engine import Engine
from pixelrefer_core.errors import InvalidPromptError, InvalidRequestError, PixelReferError
from pixelrefer_core.types import (
    Detection,
    DetectionReport,
    Frame,
    Positions,
    Query,
    QueryKind,
    TrackedObject,
)
from pixelrefer_ros import conversions, qos
from pixelrefer_ros.asking import Asker
from pixelrefer_ros.faults import reported_in, said_in
from pixelrefer_ros.msg import ObjectPrompt, ObjectPromptArray, ResultCode, TrackedObjectArray
from pixelrefer_ros.srv import (
    AddObjects,
    AskObjects,
    DescribeObject,
    GetObjects,
    PredictEvent,
    RemoveObjects,
)
from pixelrefer_ros.stamps import to_ns, to_seconds

Result = TypeVar('Result')

# A prompt may overtake the image that it was made on; it waits so long for it.
PROMPT_PATIENCE_S = 1.0


class Requests:
    """Serves requests from the moment it is made; while the node is not active they are NOT_READY."""

    def __init__(
        self,
        node: Node,
        group: CallbackGroup,
        asker: Asker,
        locate: Callable[[Frame, Sequence[TrackedObject]], Positions],
    ) -> None:
        self._node = node
        self._asker = asker
        self._locate = locate
        for kind, name, handler in (
            (AddObjects, 'add_objects', self._add_objects),
            (RemoveObjects, 'remove_objects', self._remove_objects),
            (GetObjects, 'get_objects', self._get_objects),
            (DescribeObject, 'describe_object', self._describe_object),
            (AskObjects, 'ask_objects', self._ask_objects),
            (PredictEvent, 'predict_event', self._predict_event),
        ):
            serve = partial(self._serve, handler)
            node.create_service(kind, name, serve, qos_profile=qos.services(), callback_group=group)
        node.create_service(Trigger, '~/reset', self._reset, callback_group=group)

    async def prompt(self, message: ObjectPromptArray) -> None:
        """Add the named objects of a topic and take its detections; what is wrong with them goes to the log.

        An array without prompts is a detector's that saw nothing.
        """
        detections = [item for item in message.prompts if conversions.is_detection(item)]
        message.prompts = [item for item in message.prompts if not conversions.is_detection(item)]
        if detections or not message.prompts:
            await self.detect('object_prompts', message.header, partial(_read_detections, detections))
        if message.prompts:
            await self.add(message)

    async def detect(self, topic: str, header: Header, read: Callable[[], list[Detection]]) -> None:
        """Take what a detector saw on the image of ``header``; what is wrong with it goes to the log."""
        response = await self._serve(self._detect, (header, read), AddObjects.Response())
        self._warn(topic, response)

    async def add(self, message: ObjectPromptArray) -> None:
        """Add the objects of a topic; what is wrong with them goes to the log."""
        request = AddObjects.Request(
            header=message.header, prompts=message.prompts, replace_existing=message.replace_existing
        )
        response = await self._serve(self._add_objects, request, AddObjects.Response())
        self._warn('object_prompts', response)

    async def ask_all(self, question: str) -> None:
        """Ask about every tracked object; the answer goes to the topic, an error to the log."""
        response = AskObjects.Response()
        try:
            objects = await self._asker.device(
                self._asker.worker().call(lambda engine: engine.select_objects())
            )
        except PixelReferError as error:
            conversions.fail(response, error)
        else:
            request = AskObjects.Request(object_ids=[item.object_id for item in objects], question=question)
            await self._serve(self._ask_objects, request, response)
        self._warn('question', response)

    def _warn(self, topic: str, response: Any) -> None:
        if response.error_code != ResultCode.NONE:
            self._node.get_logger().warning(f'{topic}: {response.error_msg}', throttle_duration_sec=1.0)

    async def _serve(
        self, handler: Callable[[Any, Any], Awaitable[None]], request: Any, response: Any
    ) -> Any:
        with reported_in(response):
            await handler(request, response)
        return response

    async def _add_objects(self, request: AddObjects.Request, response: AddObjects.Response) -> None:
        prompts = [
            _read(index, prompt, conversions.to_prompt) for index, prompt in enumerate(request.prompts)
        ]
        stamp_ns = to_ns(request.header.stamp)

        def add(engine: Engine) -> tuple[tuple[str, ...], Any]:
            added = engine.add_objects(prompts, stamp_ns=stamp_ns, replace_existing=request.replace_existing)
            return added, self._tracked(engine.newest, engine.select_objects())

        added, response.objects = await self._asker.device(
            self._asker.worker().call(add, patience_s=PROMPT_PATIENCE_S if stamp_ns else 0.0)
        )
        response.object_ids = list(added)

    async def _detect(
        self, request: tuple[Header, Callable[[], list[Detection]]], response: AddObjects.Response
    ) -> None:
        header, read = request
        detections = read()
        stamp_ns = to_ns(header.stamp)
        report: DetectionReport = await self._asker.device(
            self._asker.worker().call(
                lambda engine: engine.detect(detections, stamp_ns=stamp_ns),
                patience_s=PROMPT_PATIENCE_S if stamp_ns else 0.0,
            )
        )
        response.object_ids = list(report.started)
        if report.refused:
            raise InvalidPromptError('; '.join(report.refused))

    async def _remove_objects(self, request: RemoveObjects.Request, response: RemoveObjects.Response) -> None:
        removed = await self._asker.device(
            self._asker.worker().call(lambda engine: engine.remove_objects(request.object_ids))
        )
        response.removed_object_ids = list(removed)

    async def _get_objects(self, request: GetObjects.Request, response: GetObjects.Response) -> None:
        frame, every, chosen = await self._asker.device(
            self._asker.worker().call(
                lambda engine: (
                    engine.newest,
                    engine.select_objects(),
                    engine.select_objects(request.object_ids),
                )
            )
        )
        # Numbered among all objects, as in label_image.
        response.objects = self._tracked(frame, every)
        wanted = {item.object_id for item in chosen}
        response.objects.objects = [item for item in response.objects.objects if item.object_id in wanted]
        if request.include_masks:
            response.masks = [conversions.to_region_mask(frame, item) for item in chosen if item.box_xyxy]

    def _tracked(self, frame: Frame, objects: Sequence[TrackedObject]) -> TrackedObjectArray:
        return conversions.to_tracked_objects(frame, objects, self._locate(frame, objects))

    async def _describe_object(
        self, request: DescribeObject.Request, response: DescribeObject.Response
    ) -> None:
        if bool(request.object_id) == bool(request.prompt.kind):
            raise InvalidRequestError('name an object_id or give a prompt, one of the two')
        query = conversions.to_query(
            request,
            kind=QueryKind.CAPTION,
            object_ids=(request.object_id,) if request.object_id else (),
            question=request.instruction,
            visual_prompt=conversions.to_prompt(request.prompt) if request.prompt.kind else None,
            request_id=_request_id(),
        )
        await self._answer(query, response)

    async def _ask_objects(self, request: AskObjects.Request, response: AskObjects.Response) -> None:
        query = conversions.to_query(
            request,
            kind=QueryKind.ANSWER,
            object_ids=tuple(request.object_ids),
            question=request.question,
            request_id=_request_id(),
        )
        await self._answer(query, response)

    async def _predict_event(self, request: PredictEvent.Request, response: PredictEvent.Response) -> None:
        query = conversions.to_query(
            request,
            kind=QueryKind.PREDICTION,
            object_ids=tuple(request.object_ids),
            question=request.question,
            horizon_s=to_seconds(request.horizon),
            request_id=_request_id(),
        )
        await self._answer(query, response)

    async def _answer(self, query: Query, response: Any) -> None:
        response.answer, error = await self._asker.answer(self._asker.submit(query))
        if error is not None:
            raise error

    async def _reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        with said_in(response):
            await self._asker.device(self._asker.worker().call(lambda engine: engine.reset()))
            response.success, response.message = True, 'all objects and frames are forgotten'
        return response


def _read(index: int, message: ObjectPrompt, convert: Callable[[ObjectPrompt], Result]) -> Result:
    try:
        return convert(message)
    except PixelReferError as error:
        raise type(error)(f'prompt {index}: {error}') from error


def _read_detections(messages: list[ObjectPrompt]) -> list[Detection]:
    return [_read(index, message, conversions.to_detection) for index, message in enumerate(messages)]


def _request_id() -> str:
    return uuid.uuid4().hex
