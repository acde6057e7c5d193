"""Transforms over topics: a buffer that a listener fills, and broadcasters.

A stand-in for the ROS package tf2_ros_py, which PyPI lacks: the same classes, arguments and
semantics as its releases since 2024, as far as Buffer, TransformListener, TransformBroadcaster and
StaticTransformBroadcaster go, without transform(), the service tf2_frames and BufferClient.
"""

from tf2_py import (
    BufferCore,
    ConnectivityException,
    ExtrapolationException,
    InvalidArgumentException,
    LookupException,
    TimeoutException,
    TransformException,
)

from .buffer import Buffer
from .static_transform_broadcaster import StaticTransformBroadcaster
from .transform_broadcaster import TransformBroadcaster
from .transform_listener import TransformListener

__all__ = [
    'Buffer',
    'BufferCore',
    'ConnectivityException',
    'ExtrapolationException',
    'InvalidArgumentException',
    'LookupException',
    'StaticTransformBroadcaster',
    'TimeoutException',
    'TransformBroadcaster',
    'TransformException',
    'TransformListener',
]
