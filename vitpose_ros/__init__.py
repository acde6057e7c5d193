"""ViTPose++ for ROS 2: keypoints of people and animals from images and detections."""

from pkgutil import extend_path

# The generated messages (vitpose_ros.msg) live beside an installed copy of this package.
# This makes them importable, too, when the modules come from a source checkout.
__path__ = extend_path(__path__, __name__)
