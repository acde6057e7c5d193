"""The node: images and detections in, keypoints out."""

import logging
from dataclasses import replace

import numpy as np
import torch
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from std_srvs.srv import SetBool
from vision_msgs.msg import Detection2DArray

from vitpose_ros.core import DeviceError, Frame, Options, PoseEstimator
from vitpose_ros.core.realtime import Mailboxes
from vitpose_ros.core.runtime.faults import is_device_lost
from vitpose_ros.ros import diagnostics, node_parameters
from vitpose_ros.ros.camera import Camera
from vitpose_ros.ros.classes import KeypointSetChoice
from vitpose_ros.ros.logs import NodeHandler, ThrottledLog
from vitpose_ros.ros.memory import release_memory, resident_memory_mb
from vitpose_ros.ros.outputs import SkeletonOutput
from vitpose_ros.ros.pairing import AnyImage, stamp_nanoseconds
from vitpose_ros.ros.parameters import Parameters
from vitpose_ros.ros.worker import Arrival, Worker

DIAGNOSTICS_PERIOD_S = 1.0
PACKAGE = __name__.partition('.')[0]
ACKNOWLEDGED_S = 0.5  # how long a last message may take to arrive


class PoseNode(LifecycleNode):
    """Estimates the poses of the detected subjects of all cameras with one network.

    Configure loads the network and creates the publishers, activate subscribes and starts the
    worker thread, deactivate stops both, cleanup frees what configure made. The service
    ~/enable stops and starts the work of the active node.
    """

    def __init__(self) -> None:
        super().__init__('pose_node')
        self._values = Parameters()  # read at configure
        self._trouble = ThrottledLog(self.get_logger())
        self._log_handler = NodeHandler(self.get_logger())
        logging.getLogger(PACKAGE).addHandler(self._log_handler)
        logging.getLogger(PACKAGE).setLevel(logging.INFO)  # what takes long, too
        self._failure = ''  # why the last configure failed
        self._loss = ''  # of the device: why this process ends
        self._estimator: PoseEstimator | None = None
        self._device_warning = ''
        self._keypoint_sets: KeypointSetChoice | None = None
        self._skeleton_output: SkeletonOutput | None = None
        self._cameras: dict[str, Camera] = {}
        self._enabled = True
        self._active = False
        self._mailboxes: Mailboxes[Arrival] | None = None
        self._worker: Worker | None = None
        node_parameters.declare(self)
        self._on_loss = self.create_guard_condition(self._end)
        self.add_on_set_parameters_callback(self._on_set_parameters)
        self.create_service(SetBool, '~/enable', self._on_enable)
        self._diagnostics = self.create_publisher(
            DiagnosticArray, '/diagnostics', QoSProfile(depth=10)
        )
        # Steady, because a simulated clock may stand still.
        self.create_timer(
            DIAGNOSTICS_PERIOD_S,
            self._publish_diagnostics,
            clock=Clock(clock_type=ClockType.STEADY_TIME),
        )
        if self.get_parameter('autostart').value:
            self._autostart()

    def _autostart(self) -> None:
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()
        else:
            self.get_logger().error(
                'not started: set the parameters right, then configure and activate '
                f'(ros2 lifecycle set {self.get_fully_qualified_name()} configure)'
            )

    # Lifecycle. rclpy swallows the exceptions of these callbacks, so they are caught here.

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the network and create the publishers."""
        try:
            self._values = node_parameters.read(self)
            of_cameras = {
                name: node_parameters.read_for_camera(self, name, self._values)
                for name in self._values.camera_names()
            }
            self._estimator = self._load()
            skeletons = self._estimator.skeletons
            self._keypoint_sets = KeypointSetChoice(
                self._values.numbered_class_names(),
                [skeleton.name for skeleton in skeletons],
                self._values.keypoint_sets_by_class(),
            )
            self._skeleton_output = SkeletonOutput(self, skeletons, self._values.model)
            for name, own in of_cameras.items():
                self._cameras[name] = Camera(self, name, skeletons, own)
        except Exception as error:
            self._failure = str(error)
            self.get_logger().error(f'cannot configure: {error}')
            if is_device_lost(error):
                self._on_device_lost(error)
            self._free()
            return TransitionCallbackReturn.FAILURE
        self._failure = ''
        backend = self._estimator.backend
        self.get_logger().info(
            f"network '{self._values.model}' is ready with {backend.description} "
            f'({backend.reason}), for {", ".join(skeleton.name for skeleton in skeletons)}'
        )
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe and start working."""
        result = super().on_activate(state)
        self._active = True
        try:
            assert self._skeleton_output is not None, 'not configured'
            self._skeleton_output.publish()
            if self._enabled:
                self._start()
        except Exception as error:
            self.get_logger().error(f'cannot activate: {error}')
            self._stop()
            self._active = False
            super().on_deactivate(state)
            return TransitionCallbackReturn.FAILURE
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop working and unsubscribe; the network stays."""
        self._stop()
        self._active = False
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Free the network and the publishers."""
        self._free()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop working and free everything."""
        self._stop()
        self._active = False
        self._free()
        return super().on_shutdown(state)

    def destroy_node(self) -> None:
        """Stop working, then destroy the node."""
        self._stop()
        logging.getLogger(PACKAGE).removeHandler(self._log_handler)
        super().destroy_node()

    def _load(self) -> PoseEstimator:
        """Load the network, and run it once, so that what fails does so now."""
        values = self._values
        faults = []

        options = Options(
            device=values.device,
            backend=values.backend,
            precision=values.precision,
            threads=values.threads,
            keypoint_sets=values.wanted_keypoint_sets(),
            max_batch=values.max_batch,
            flip_test=values.flip_test,
            heatmap_spread=values.covariance,
            decode=values.decode,
            cuda_graphs=values.cuda_graphs,
        )
        try:
            estimator = PoseEstimator.with_options(values.model, options)
        except DeviceError as error:
            faults.append(f'{error}; the network runs on the CPU instead')
            # What was asked for of the precision may be for a GPU alone.
            options = replace(options, device='cpu', precision='auto')
            estimator = PoseEstimator.with_options(values.model, options)
        if estimator.backend.warning:
            faults.append(estimator.backend.warning)
        self._device_warning = '; '.join(faults)
        if faults:
            self.get_logger().error(self._device_warning)
        release_memory(self.get_logger().warning)  # what loading took
        estimator.predict([Frame(np.zeros((64, 64, 3), np.uint8), np.array([[0, 0, 64, 64]]))])
        return estimator

    def _start(self) -> None:
        assert self._estimator is not None and self._keypoint_sets is not None, 'not configured'
        mailboxes: Mailboxes[Arrival] = Mailboxes(
            self._cameras,
            size=self._values.frame_queue_size,
            max_age_ns=round(self._values.max_age_ms * 1e6),
            stamp_clock=self._now_ns,
        )
        self._mailboxes = mailboxes
        self._worker = Worker(
            self._estimator,
            self._cameras,
            mailboxes,
            keypoint_sets=self._keypoint_sets,
            parameters=lambda: self._values,
            stamp_clock=self._now_ns,
            log=self._trouble,
            is_running=self.context.ok,
            on_device_lost=self._on_device_lost,
        )
        for name, camera in self._cameras.items():

            def put(image: AnyImage, found: Detection2DArray | None, name: str = name) -> None:
                stamp_ns = stamp_nanoseconds(image.header.stamp)
                mailboxes.put(name, Arrival(image, found), stamp_ns)

            camera.open(put)

    def _stop(self) -> None:
        for camera in self._cameras.values():
            camera.close_input()
        if self._worker is not None:
            self._worker.stop()
            self._worker = self._mailboxes = None
            if self.context.ok():
                for camera in self._cameras.values():
                    camera.output.remove_markers()

    def _free(self) -> None:
        self._estimator = self._keypoint_sets = None
        for camera in self._cameras.values():
            camera.close()
        self._cameras = {}
        if self._skeleton_output is not None:
            self._skeleton_output.close()
            self._skeleton_output = None
        release_memory(self.get_logger().warning)

    def _on_device_lost(self, error: Exception) -> None:
        """Say that this process cannot use its device any more, and have it end; any thread."""
        self._loss = (
            f'the device is lost to this process, which ends: {str(error).splitlines()[0]}; start '
            'the node anew, as launch does with respawn:=true; if it comes again, see nvidia-smi '
            'and Xid in the output of dmesg, or set device to cpu'
        )
        self.get_logger().fatal(self._loss)
        self._on_loss.trigger()

    def _end(self) -> None:
        """Tell the diagnostics, and end the process with an error."""
        self._publish_diagnostics()
        self._diagnostics.wait_for_all_acked(Duration(seconds=ACKNOWLEDGED_S))
        raise SystemExit(1)

    def _now_ns(self) -> int:
        now: int = self.get_clock().now().nanoseconds
        return now

    # Parameters and services

    def _on_set_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        for change in changes:
            if self._estimator is not None and not node_parameters.is_live(change.name):
                return SetParametersResult(
                    successful=False,
                    reason=f'{change.name} is read when the node is configured: deactivate and '
                    'clean up, then set it and configure again',
                )
        try:
            values = node_parameters.updated(self._values, changes)
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        self._values = values
        if self._mailboxes is not None:
            self._mailboxes.max_age_ns = round(values.max_age_ms * 1e6)
        return SetParametersResult(successful=True)

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        """Stop or start the work; the lifecycle state stays."""
        response.success = True
        if request.data != self._enabled:
            self._enabled = request.data
            try:
                if not self._enabled:
                    self._stop()
                elif self._active:
                    self._start()
            except Exception as error:
                self._stop()
                self._enabled = False
                response.success = False
                response.message = f'cannot enable: {error}'
                self.get_logger().error(response.message)
                return response
        response.message = 'enabled' if self._enabled else 'disabled: the work stands still'
        if not self._active:
            response.message += '; this counts once the node is active'
        self.get_logger().info(response.message)
        return response

    # Diagnostics

    def _publish_diagnostics(self) -> None:
        statuses = [self._own_status()]
        if self._worker is not None:
            statuses += [self._camera_status(camera) for camera in self._cameras.values()]
        stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(diagnostics.diagnostics(statuses, stamp))

    def _own_status(self) -> DiagnosticStatus:
        level, message = diagnostics.OK, 'active'
        if self._estimator is None:
            message = 'unconfigured'
            if self._failure:
                level, message = diagnostics.ERROR, f'cannot configure: {self._failure}'
        elif not self._active:
            message = 'inactive'
        elif not self._enabled:
            message = 'disabled by ~/enable'
        if self._loss:
            level, message = diagnostics.ERROR, self._loss
        values: dict[str, object] = {'resident_memory_mb': f'{resident_memory_mb():.0f}'}
        if self._estimator is not None:
            device = self._estimator.backend.device
            values.update(
                model=self._values.model,
                keypoint_sets=', '.join(s.name for s in self._estimator.skeletons),
                device=device,
                backend=self._estimator.backend.description,
                max_batch=self._estimator.max_batch,
            )
            if device.type == 'cuda':
                values['cuda_memory_mb'] = f'{torch.cuda.memory_reserved(device) / 1e6:.0f}'
            if self._estimator.max_batch < self._values.max_batch:
                level = diagnostics.WARN
                message += f'; max_batch is {self._estimator.max_batch} since memory ran out'
            if self._device_warning:
                level = diagnostics.WARN
                message += f'; {self._device_warning}'
        return diagnostics.status(
            self._status_name('network'), str(values.get('device', '')), level, message, values
        )

    def _camera_status(self, camera: Camera) -> DiagnosticStatus:
        assert camera.input is not None and self._mailboxes is not None
        return diagnostics.camera_status(
            self._status_name(camera.name or 'camera'),
            camera.input.image_topic,
            camera.report(self._mailboxes.counts(camera.name)),
        )

    def _status_name(self, part: str) -> str:
        return f'{self.get_fully_qualified_name().strip("/")}: {part}'
