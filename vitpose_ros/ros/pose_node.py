"""The node: images and detections in, keypoints out."""

import logging
import threading
from collections.abc import Mapping
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSProfile
from std_srvs.srv import SetBool

from vitpose_ros.core.runtime.faults import is_device_lost
from vitpose_ros.ros import network
from vitpose_ros.ros.activity import Activity
from vitpose_ros.ros.camera import NOT_OPENED, Camera
from vitpose_ros.ros.diagnostics import camera_status, diagnostics, image_loss
from vitpose_ros.ros.health import Health, State
from vitpose_ros.ros.lifecycle import BusyLifecycleNode
from vitpose_ros.ros.logs import NodeHandler, ThrottledLog
from vitpose_ros.ros.memory import release_memory
from vitpose_ros.ros.node_parameters import NodeParameters
from vitpose_ros.ros.outputs import SkeletonOutput
from vitpose_ros.ros.parameters import Parameters
from vitpose_ros.ros.people_output import PeopleOutput
from vitpose_ros.ros.transforms import Transforms

DIAGNOSTICS_PERIOD_S = 1.0
PACKAGE = __name__.partition('.')[0]
LOSS_PERIOD_S = 60.0  # between warnings of lost images
ACKNOWLEDGED_S = 0.5  # how long a last message may take to arrive


class PoseNode(BusyLifecycleNode):
    """Estimates the poses of the detected subjects of all cameras with one network.

    Configure loads the network and creates the publishers, activate subscribes and starts the
    worker thread, deactivate stops both, cleanup frees what configure made. The service
    ~/enable stops and starts the work of the active node. All these run in a thread of their
    own, one after the other; everything else in those of the executor, single- or multi-threaded.
    """

    def __init__(self, name: str = 'pose_node', **options: Any) -> None:
        """Take the name and the options of a node, such as namespace and parameter_overrides."""
        super().__init__(name, **options)
        self._trouble = ThrottledLog(self.get_logger())
        self._log_handler = NodeHandler(self.get_logger())
        self._log_handler.attach(logging.getLogger(PACKAGE))
        self._state = State.UNCONFIGURED
        self._failure = ''  # why the last configure or activate failed
        self._loss = ''  # of the device: why this process ends
        self._enabled = True
        # Of the configured node. Replaced as a whole, because other threads look at them.
        self._network: network.Network | None = None
        self._skeletons: SkeletonOutput | None = None
        self._cameras: Mapping[str, Camera] = {}
        self._transforms: Transforms | None = None
        self._people: PeopleOutput | None = None
        self._activity: Activity | None = None
        self._telling = threading.RLock()  # while diagnostics are made and sent
        self._is_destroyed = False
        self._settings = NodeParameters(self, self._follow)
        self._on_loss = self.create_guard_condition(self._end)
        self.create_background_service(SetBool, '~/enable', self._on_enable)
        self._diagnostics = self.create_publisher(
            DiagnosticArray, '/diagnostics', QoSProfile(depth=10)
        )
        # Steady, because a simulated clock may stand still.
        self.create_timer(
            DIAGNOSTICS_PERIOD_S,
            self._publish_diagnostics,
            clock=Clock(clock_type=ClockType.STEADY_TIME),
        )
        if self._settings.values.autostart:
            self.in_background(self._autostart)

    def _autostart(self) -> None:
        for name, trigger in (
            ('configure', self.trigger_configure),
            ('activate', self.trigger_activate),
        ):
            if trigger() != TransitionCallbackReturn.SUCCESS:
                self.get_logger().error(
                    f'not started: set right what is wrong, then {name} '
                    f'(ros2 lifecycle set {self.get_fully_qualified_name()} {name})'
                )
                return

    # Lifecycle. rclpy swallows the exceptions of these callbacks, so they are caught here.

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the network and create the publishers."""
        self._state = State.CONFIGURING
        cameras: dict[str, Camera] = {}
        try:
            values = self._settings.prepare()
            names = values.camera_names()
            of_cameras = [self._settings.of(name)() for name in names]
            with_depth = any(own.depth != 'off' for own in of_cameras)
            self._network = network.load(
                values,
                self.get_logger(),
                with_depth=with_depth,
                box_sources=[own.box_source for own in of_cameras],
            )
            skeletons = self._network.estimator.skeletons
            self._skeletons = SkeletonOutput(self, skeletons, values.model)
            self._open_space(values, with_depth=with_depth)
            for name in names:
                cameras[name] = Camera(
                    self, name, skeletons, self._settings.of(name), is_only=len(names) == 1
                )
                if self._settings.overrides_qos:
                    cameras[name].try_open(self._trouble, self._transforms)
            self._cameras = cameras
            self._settings.warn_of_unknown_qos()
        except Exception as error:
            failure = f'cannot configure: {error}'
            self.get_logger().error(failure)  # before diagnostics point to the log
            self._failure = failure
            if is_device_lost(error):
                self._on_device_lost(error)
            self._cameras = cameras
            self._free()
            return TransitionCallbackReturn.FAILURE
        self._failure = ''
        self._state = State.INACTIVE
        self.get_logger().info(self._network.description)
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe and start working."""
        result = super().on_activate(state)
        self._state = State.ACTIVE
        try:
            assert self._skeletons is not None, 'not configured'
            self._skeletons.publish()
            if self._enabled:
                self._start()
            self._failure = ''
        except Exception as error:
            failure = f'cannot activate: {error}'
            self.get_logger().error(failure)
            self._failure = failure
            self._stop()
            self._state = State.INACTIVE
            super().on_deactivate(state)
            return TransitionCallbackReturn.FAILURE
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop working and unsubscribe; the network stays."""
        self._stop()
        self._state = State.INACTIVE
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the network and the publishers."""
        self._free()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop working and free everything."""
        self._stop()
        self._free()
        return super().on_shutdown(state)

    def destroy_node(self) -> None:
        """Stop working, then destroy the node."""
        self.in_background(self._stop)
        self.end_background()
        self._log_handler.detach(logging.getLogger(PACKAGE))
        with self._telling:
            self._is_destroyed = True
            super().destroy_node()

    def _start(self) -> None:
        assert self._network is not None, 'not configured'
        self._activity = Activity(
            self._network,
            self._cameras,
            self._settings.values,
            stamp_clock=lambda: self.get_clock().now().nanoseconds,
            log=self._trouble,
            is_running=self.context.ok,
            on_device_lost=self._on_device_lost,
            transforms=self._transforms,
            people=self._people,
        )

    def _open_space(self, values: Parameters, *, with_depth: bool) -> None:
        """Listen to TF and offer a list of people, as far as that is wanted."""
        if with_depth or values.target_frame:
            self._transforms = Transforms(self)
        has_common_frame = bool(values.target_frame) or len(values.camera_names()) == 1
        if with_depth and has_common_frame and values.tracking != 'off':
            self._people = PeopleOutput(self, lambda: self._settings.values.max_tf_bodies)
        elif values.max_tf_bodies:
            self.get_logger().warning(
                'max_tf_bodies has no effect: it needs depth, tracking, and target_frame where '
                'there are several cameras'
            )

    def _stop(self) -> None:
        if self._activity is not None:
            self._activity.stop()
            self._activity = None

    def _free(self) -> None:
        cameras, skeletons = self._cameras, self._skeletons
        self._network, self._cameras, self._skeletons = None, {}, None
        people, transforms = self._people, self._transforms
        self._people = self._transforms = None
        for name in list(cameras):
            cameras[name].close()
        if skeletons is not None:
            skeletons.close()
        if people is not None:
            people.close()
        if transforms is not None:
            transforms.close()
        del cameras, skeletons
        release_memory(self.get_logger().warning)
        self._settings.locked = False
        self._state = State.UNCONFIGURED

    def _on_device_lost(self, error: Exception) -> None:
        """Say that this process cannot use its device any more, and have it end; any thread."""
        loss = (
            f'the device is lost to this process, which ends: {str(error).splitlines()[0]}; start '
            'the node anew, as launch does with respawn:=true; if it comes again, see nvidia-smi '
            'and Xid in the output of dmesg, or set device to cpu'
        )
        self.get_logger().fatal(loss)
        self._loss = loss
        self._on_loss.trigger()

    def _end(self) -> None:
        """Tell the diagnostics, and end the process with an error."""
        self._publish_diagnostics()
        self._diagnostics.wait_for_all_acked(Duration(seconds=ACKNOWLEDGED_S))
        raise SystemExit(1)

    # What may be asked for at any time

    def _follow(self) -> None:
        """Take over parameters that have changed."""
        if (activity := self._activity) is not None:
            activity.follow(self._settings.values)

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        """Stop or start the work; the lifecycle state stays."""
        response.success = True
        if request.data != self._enabled:
            self._enabled = request.data
            try:
                if not self._enabled:
                    self._stop()
                elif self._state == State.ACTIVE:
                    self._start()
            except Exception as error:
                self._enabled = False
                response.success = False
                response.message = f'cannot enable: {error}'
                self.get_logger().error(response.message)
                return response
        response.message = 'enabled' if self._enabled else 'disabled: the work stands still'
        if self._state != State.ACTIVE:
            response.message += '; this counts once the node is active'
        self.get_logger().info(response.message)
        return response

    def _publish_diagnostics(self) -> None:
        with self._telling:
            if not self._is_destroyed:  # by another thread than that of the executor
                self._tell()

    def _tell(self) -> None:
        activity, cameras = self._activity, self._cameras
        health = Health(
            self._state,
            self._enabled,
            self._network,
            self._failure,
            '' if activity is None else activity.fault,
            self._loss,
        )
        statuses = [health.status(self._status_name('network'))]
        for name in cameras or self._settings.values.camera_names():
            camera = cameras.get(name)
            report = NOT_OPENED if camera is None else camera.report()
            topic = '' if camera is None else camera.topic
            status_name = self._status_name(name or 'camera')
            statuses.append(
                camera_status(
                    status_name, topic, report, idle=health.idle, broken=bool(health.trouble)
                )
            )
            if loss := image_loss(report):
                where = f"camera '{name}': " if name else ''
                self._trouble.warning(f'{name} loss', f'{where}{loss}', period_s=LOSS_PERIOD_S)
        self._diagnostics.publish(diagnostics(statuses, self.get_clock().now().to_msg()))

    def _status_name(self, part: str) -> str:
        return f'{self.get_fully_qualified_name().strip("/")}: {part}'
