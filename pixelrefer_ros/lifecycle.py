"""The life of a node that loads something slow and watches a camera. Every wish to change its state is answered."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from lifecycle_msgs.srv import ChangeState
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNodeMixin, LifecycleState, TransitionCallbackReturn
from rclpy.node import Node
from std_srvs.srv import SetBool

from pixelrefer_core.errors import NotReadyError, PixelReferError
from pixelrefer_ros.diagnostics import CONFIGURE_FAILED
from pixelrefer_ros.faults import said_in
from pixelrefer_ros.log_bridge import bridge_logging

log = logging.getLogger(__name__)


class ManagedNode(LifecycleNodeMixin, Node):
    """What the nodes with weights have in common; the methods without a body are what each of them does.

    ``configure`` loads, ``activate`` opens the tap of images, ``deactivate`` closes it, ``cleanup`` frees.
    """

    def __init__(self, name: str, **kwargs: Any) -> None:
        # Not LifecycleNode, which cannot say this: the lifecycle services go on answering while a model loads.
        Node.__init__(self, name, **kwargs)
        LifecycleNodeMixin.__init__(self, callback_group=ReentrantCallbackGroup())
        bridge_logging(self.get_logger())
        self._state = 'unconfigured'
        self._failure = ''
        # Heartbeat and start are there also while the time of a simulation or a bag stands still.
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._service_change_state.callback = self._answering(self._service_change_state.callback)

    def _load(self) -> None:
        """Load all that is needed. What it raises is why configure fails."""
        raise NotImplementedError

    def _open_tap(self) -> None:
        """Take images from now on."""
        raise NotImplementedError

    def _close_tap(self) -> None:
        """Take no images any more; nothing happens where none are taken."""
        raise NotImplementedError

    def _release(self) -> None:
        """Free what was loaded, if anything was."""
        raise NotImplementedError

    def _publish_status(self) -> None:
        """Tell how the node is; called on every change of state."""
        raise NotImplementedError

    def _start_by_itself(self) -> None:
        """Configure and activate as soon as somebody spins the node."""
        group = MutuallyExclusiveCallbackGroup()
        self._autostart_timer = self.create_timer(0.0, self._autostart, group, clock=self._steady)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load; FAILURE, with the reason in the log and in what the node says of itself, when that cannot be done."""
        try:
            self._load()
        except PixelReferError as error:
            self._failure = f'{CONFIGURE_FAILED}: {error}'
        except Exception as error:
            # rclpy would swallow the traceback.
            log.exception(CONFIGURE_FAILED)
            self._failure = f'{CONFIGURE_FAILED}: {type(error).__name__}: {error}'
        else:
            self._failure = ''
            self._enter('inactive')
            return TransitionCallbackReturn.SUCCESS
        self.get_logger().error(self._failure)
        self._publish_status()
        return TransitionCallbackReturn.FAILURE

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe to the camera."""
        result = super().on_activate(state)
        self._enter('active')
        # Last, so that no image comes before it is wanted.
        self._open_tap()
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Close the tap; what was loaded stays."""
        self._enter('inactive')
        self._close_tap()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free what was loaded."""
        self._release()
        self._enter('unconfigured')
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free everything, from any state."""
        self._close_tap()
        self._release()
        self._enter('finalized')
        return TransitionCallbackReturn.SUCCESS

    def _enter(self, state: str) -> None:
        self._state = state
        self.get_logger().info(state)
        self._publish_status()

    def _autostart(self) -> None:
        self._autostart_timer.cancel()
        try:
            self._transit(self.trigger_configure)
            self._transit(self.trigger_activate)
        except NotReadyError as error:
            # A manager was quicker, or the failure has been told.
            log.info('autostart ends here: %s', error)

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        """Activate or deactivate a node that is configured."""
        trigger, wanted = (
            (self.trigger_activate, 'active') if request.data else (self.trigger_deactivate, 'inactive')
        )
        with said_in(response):
            # Of rclpy, not of this class: that one is ahead of it until the transition is over.
            state = self._state_machine.current_state[1]
            if state == wanted:
                response.message = f'already {wanted}'
            elif state == 'unconfigured':
                raise NotReadyError(self._failure or 'the node is unconfigured: configure it first')
            else:
                self._transit(trigger)
                response.message = wanted
            response.success = True
        return response

    def _transit(self, trigger: Callable[[], TransitionCallbackReturn]) -> None:
        """Make a transition. Raises :class:`NotReadyError` where the state does not allow it, or it fails."""
        try:
            done = trigger()
        except rclpy_implementation.RCLError as error:
            state = self._state_machine.current_state[1]
            raise NotReadyError(f'the node is {state}, which does not allow this now') from error
        if done != TransitionCallbackReturn.SUCCESS:
            raise NotReadyError(self._failure or f'the transition failed, and the node is {self._state}')

    def _answering(self, change: Callable[..., ChangeState.Response]) -> Callable[..., ChangeState.Response]:
        """Refuse a transition that the state does not allow. rclpy raises there, and the caller waits for ever."""

        def answer(request: ChangeState.Request, response: ChangeState.Response) -> ChangeState.Response:
            try:
                return change(request, response)
            except rclpy_implementation.RCLError as error:
                self.get_logger().warning(f'change_state {request.transition.id} is refused: {error}')
                response.success = False
                return response

        return answer
