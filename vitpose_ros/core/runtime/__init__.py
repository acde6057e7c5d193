"""What runs the network. All backends give the same keypoints, so that users need no cases."""

from vitpose_ros.core.option import OptionError
from vitpose_ros.core.runtime.base import Backend, BackendError, Decoding, DeviceError
from vitpose_ros.core.runtime.choice import choose, open_backend, open_onnx
from vitpose_ros.core.runtime.export import ExportError
from vitpose_ros.core.runtime.options import BACKENDS, Options

__all__ = [
    'BACKENDS',
    'Backend',
    'BackendError',
    'Decoding',
    'DeviceError',
    'ExportError',
    'OptionError',
    'Options',
    'choose',
    'open_backend',
    'open_onnx',
]
