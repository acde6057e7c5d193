"""A detector for demonstrations and tests: OpenCV's built-in people detector.

Dalal and Triggs, "Histograms of Oriented Gradients for Human Detection", 2005. Its weights come
with OpenCV 4, so it needs no download; it finds upright people, and not all of them.
"""

import math

import cv2
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose

from vitpose_ros.ros.images import read_image
from vitpose_ros.ros.logs import InputError, ThrottledLog
from vitpose_ros.ros.overlay import TO_BGR
from vitpose_ros.ros.subscriptions import MatchedSubscription

SMALLEST = (64, 128)  # width and height of the detector's window, pixels


class HogDetectorNode(Node):
    """Publishes the people in each image, with the header of the image."""

    def __init__(self) -> None:
        super().__init__('hog_detector_node')
        self._scale = self.declare_parameter('scale', 1.05).value  # between pyramid levels
        self._min_score = self.declare_parameter('min_score', 0.5).value
        # The detector's boxes have a margin of about this part of their size on each side.
        self._margin_x = self.declare_parameter('margin_x', 0.12).value
        self._margin_y = self.declare_parameter('margin_y', 0.07).value
        depth = self.declare_parameter('queue_size', 1).value
        if not hasattr(cv2, 'HOGDescriptor'):
            raise ValueError(f'OpenCV {cv2.__version__} has no HOGDescriptor; use OpenCV 4')
        self._detector = cv2.HOGDescriptor()
        self._detector.setSVMDetector(cv2.HOGDescriptor_getDefaultPeopleDetector())
        self._trouble = ThrottledLog(self.get_logger())
        self._publisher = self.create_publisher(
            Detection2DArray,
            'detections',
            QoSProfile(depth=10),
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )
        MatchedSubscription(self, Image, 'image', self._detect, depth=depth)

    def _detect(self, message: Image) -> None:
        try:
            image, channels = read_image(message)
        except InputError as error:
            self._trouble.error(error.kind, str(error))
            return
        if channels in TO_BGR:
            image = cv2.cvtColor(image, TO_BGR[channels])
        detections = Detection2DArray(header=message.header)
        if message.width >= SMALLEST[0] and message.height >= SMALLEST[1]:
            boxes, weights = self._detector.detectMultiScale(
                image, winStride=(8, 8), scale=self._scale
            )
            for box, weight in zip(boxes, weights, strict=True):
                score = 1 / (1 + math.exp(-float(weight)))
                if score >= self._min_score:
                    detections.detections.append(self._detection(box.tolist(), score, message))
        self._publisher.publish(detections)

    def _detection(self, box: list[int], score: float, message: Image) -> Detection2D:
        left, top, width, height = box
        detection = Detection2D(header=message.header)
        detection.bbox.center.position.x = left + width / 2
        detection.bbox.center.position.y = top + height / 2
        detection.bbox.size_x = width * (1 - 2 * self._margin_x)
        detection.bbox.size_y = height * (1 - 2 * self._margin_y)
        result = ObjectHypothesisWithPose()
        result.hypothesis.class_id = 'person'
        result.hypothesis.score = score
        detection.results.append(result)
        return detection
