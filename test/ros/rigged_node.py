"""pose_node with a backend that is slow, fails or is special, as the variable RIG says.

slow=S       each subject takes S seconds
oom=N        more than N subjects in a forward pass are out of memory, which it logs as a module
white=TEXT   a subject on a white ground raises RuntimeError(TEXT)
black=TEXT   one on a black ground, as that of the pass at configure
jpeg         it takes JPEG files, and leaves them encoded as long as it can
filters=NAME message_filters pairs equal stamps as synchronizers.NAME
"""

import logging
import os
import time

import message_filters
import synchronizers
import torch

from vitpose_ros.core.runtime.openvino import OpenVinoBackend
from vitpose_ros.core.runtime.torch import TorchBackend
from vitpose_ros.ros.process import run

WHITE, BLACK = 250, 5  # mean brightness


def rig(compute):
    """Return what takes the place of a backend's heatmaps."""
    kind, _, value = os.environ['RIG'].partition('=')

    def heatmaps(backend, crops, counts):
        if kind == 'slow':
            end = time.monotonic() + float(value) * len(crops)
            found = compute(backend, crops, counts)
            time.sleep(max(0.0, end - time.monotonic()))
            return found
        if kind == 'oom' and len(crops) > int(value):
            logging.getLogger('vitpose_ros.core.rig').warning('%d are too many', len(crops))
            raise torch.cuda.OutOfMemoryError('CUDA out of memory. Tried to allocate 2.00 GiB')
        brightness = crops.float().mean(dim=(1, 2, 3))
        if kind == 'white' and (brightness > WHITE).any():
            raise RuntimeError(value)
        if kind == 'black' and (brightness < BLACK).any():
            raise RuntimeError(value)
        return compute(backend, crops, counts)

    return heatmaps


if __name__ == '__main__':
    kind, _, value = os.environ['RIG'].partition('=')
    if kind == 'filters':  # before pose_node is imported
        message_filters.TimeSynchronizer = getattr(synchronizers, value)
    for kind in (TorchBackend, OpenVinoBackend):
        kind.heatmaps = rig(kind.heatmaps)
        kind.decodes_jpeg = os.environ['RIG'] == 'jpeg'
    run('vitpose_ros.ros.pose_node:PoseNode')
