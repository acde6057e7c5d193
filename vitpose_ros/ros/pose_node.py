"""The node: images and detections in, keypoints out."""

import threading

from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

from vitpose_ros.core import Frame, PoseEstimator
from vitpose_ros.core.batching import Mailbox
from vitpose_ros.core.skeletons import keypoint_set_of_class
from vitpose_ros.ros import parameters
from vitpose_ros.ros.conversions import InputError, image_view, read_detections
from vitpose_ros.ros.logs import ThrottledLog
from vitpose_ros.ros.outputs import Outputs
from vitpose_ros.ros.pairing import PairedInput


class PoseNode(LifecycleNode):
    """Estimates the poses of detected subjects, one frame after the other.

    Configure loads the network and creates the publishers, activate subscribes and starts the
    worker thread, deactivate stops both, cleanup frees what configure made.
    """

    def __init__(self) -> None:
        super().__init__('pose_node')
        parameters.declare(self)
        self._values = parameters.read(self)
        self._trouble = ThrottledLog(self.get_logger())
        self._estimator: PoseEstimator | None = None
        self._outputs: Outputs | None = None
        self._input: PairedInput | None = None
        self._mailbox: Mailbox[tuple[Image, Detection2DArray]] | None = None
        self._worker: threading.Thread | None = None
        self.add_on_set_parameters_callback(self._on_set_parameters)
        if self._values.autostart:
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
            self._values = parameters.read(self)
            self._estimator = PoseEstimator.load(
                self._values.model,
                self._values.device,
                keypoint_sets=self._values.keypoint_set_names,
                flip_test=self._values.flip_test,
                with_covariances=self._values.covariance,
            )
            self._outputs = Outputs(self, self._estimator.skeletons)
        except Exception as error:
            self.get_logger().error(f'cannot configure: {error}')
            self._free()
            return TransitionCallbackReturn.FAILURE
        self.get_logger().info(
            f"network '{self._values.model}' is ready on {self._estimator.backend.device}, for "
            f'{", ".join(skeleton.name for skeleton in self._estimator.skeletons)}'
        )
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe and start working."""
        result = super().on_activate(state)
        try:
            self._start()
        except Exception as error:
            self.get_logger().error(f'cannot activate: {error}')
            self._stop()
            return TransitionCallbackReturn.FAILURE
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop working and unsubscribe; the network stays."""
        self._stop()
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
        self._stop()
        super().destroy_node()

    def _start(self) -> None:
        assert self._estimator is not None and self._outputs is not None, 'not configured'
        self._outputs.publish_skeletons(self._values.model)
        mailbox = self._mailbox = Mailbox(self._values.frame_queue_size)
        self._worker = threading.Thread(
            target=self._work,
            args=(mailbox, self._estimator, self._outputs),
            name='worker',
            daemon=True,
        )
        self._worker.start()
        self._input = PairedInput(
            self,
            lambda image, detections: mailbox.put((image, detections)),
            queue_size=self._values.sync_queue_size,
        )

    def _stop(self) -> None:
        if self._input is not None:
            self._input.close()
            self._input = None
        if self._mailbox is not None:
            self._mailbox.close()
            self._mailbox = None
        if self._worker is not None:
            self._worker.join()
            self._worker = None

    def _free(self) -> None:
        self._estimator = None
        if self._outputs is not None:
            self._outputs.close()
            self._outputs = None

    def _on_set_parameters(self, changes: list[Parameter]) -> SetParametersResult:
        for change in changes:
            if self._estimator is not None and not parameters.is_live(change.name):
                return SetParametersResult(
                    successful=False,
                    reason=f'{change.name} is read when the node is configured: deactivate and '
                    'clean up, then set it and configure again',
                )
        self._values = parameters.updated(self._values, changes)
        return SetParametersResult(successful=True)

    # The worker thread

    def _work(
        self,
        mailbox: Mailbox[tuple[Image, Detection2DArray]],
        estimator: PoseEstimator,
        outputs: Outputs,
    ) -> None:
        while (pair := mailbox.take()) is not None:
            image, detections = pair
            try:
                self._process(image, detections, estimator, outputs)
            except InputError as error:
                self._trouble.error(error.kind, str(error))
            except Exception as error:
                if not self.context.ok():
                    return
                self._trouble.error(
                    type(error).__name__,
                    f'the frame of stamp {image.header.stamp.sec}.'
                    f'{image.header.stamp.nanosec:09d} is lost: {type(error).__name__}: {error}',
                )

    def _process(
        self,
        message: Image,
        detections: Detection2DArray,
        estimator: PoseEstimator,
        outputs: Outputs,
    ) -> None:
        values = self._values
        image, channels = image_view(message)
        subjects, faults = read_detections(
            detections,
            width=message.width,
            height=message.height,
            max_subjects=values.max_subjects,
        )
        for fault in faults:
            self._trouble.error(fault.kind, str(fault))
        loaded = [skeleton.name for skeleton in estimator.skeletons]
        keypoint_sets = [
            keypoint_set_of_class(name, loaded) or loaded[0] for name in subjects.class_ids
        ]
        [poses] = estimator.predict([Frame(image, subjects.boxes, channels, keypoint_sets)])
        outputs.publish_frame(
            message, image, channels, subjects=subjects, poses=poses, parameters=values
        )
