"""pose_node with a backend that is slow, fails or is special, as the variable RIG says.

slow=S       each subject takes S seconds
idle=S       the same, but only the first is computed, and the others get its heatmaps
oom=N        more than N subjects in a forward pass are out of memory, which it logs as a module
white=TEXT   a subject on a white ground raises RuntimeError(TEXT)
black=TEXT   one on a black ground, as that of the pass at configure
look=S       each pass of the detector inside takes S seconds
jpeg         it takes JPEG files, and leaves them encoded as long as it can
filters=NAME message_filters pairs equal stamps as synchronizers.NAME
broken       the first frame that is read breaks the worker, as only a mistake in it could

It prints what happens: 'pass N' when the N-th forward pass begins, 'took N S' when it ends after S
seconds (slow), 'look N' when the detector's N-th begins (look), and 'arrived CAMERA STAMP N',
'answered CAMERA STAMP N' after N passes have begun; stamps are in nanoseconds.
"""

import logging
import os
import time

import synchronizers
import torch

from vitpose_ros.core.boxes.detector import Detector
from vitpose_ros.core.realtime import Mailboxes
from vitpose_ros.core.runtime.openvino import OpenVinoBackend
from vitpose_ros.core.runtime.torch import TorchBackend
from vitpose_ros.ros import pairing
from vitpose_ros.ros.outputs import CameraOutput
from vitpose_ros.ros.process import run
from vitpose_ros.ros.reading import Reader
from vitpose_ros.ros.stamps import stamp_nanoseconds

WHITE, BLACK = 250, 5  # mean brightness


passes, looks = [0], [0]


def say(*words):
    os.write(1, f'{" ".join(map(str, words))}\n'.encode())  # whole lines, from all threads


def tell(what, camera, header):
    say(what, camera.strip('~/'), stamp_nanoseconds(header.stamp), passes[0])


def put(mailboxes, camera, item, stamp_ns):
    real_put(mailboxes, camera, item, stamp_ns)
    tell('arrived', camera, item.image.header)


def publish(output, result, *rest, **options):
    tell('answered', output.prefix, result.header)
    return real_publish(output, result, *rest, **options)


def read_once_broken(reader, arrived):
    Reader.read = real_read
    raise RuntimeError('broken')


def look(detector, frames, min_score):
    looks[0] += 1
    say('look', looks[0])
    time.sleep(float(os.environ['RIG'].partition('=')[2]))
    return real_find(detector, frames, min_score)


real_put, real_publish = Mailboxes.put, CameraOutput.publish
real_read, real_find = Reader.read, Detector.find


def rig(compute):
    """Return what takes the place of a backend's heatmaps."""
    kind, _, value = os.environ['RIG'].partition('=')

    def heatmaps(backend, crops, counts):
        passes[0] += 1
        say('pass', passes[0])
        if kind == 'slow':
            begin = time.monotonic()
            found = compute(backend, crops, counts)
            time.sleep(max(0.0, begin + float(value) * len(crops) - time.monotonic()))
            say('took', passes[0], time.monotonic() - begin)
            return found
        if kind == 'idle':
            time.sleep(float(value) * len(crops))
            [found] = compute(backend, crops[:1], [1])
            return [found.expand(len(crops), -1, -1, -1)]
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
    if kind == 'filters':
        pairing.TimeSynchronizer = getattr(synchronizers, value)
    for kind in (TorchBackend, OpenVinoBackend):
        kind.heatmaps = rig(kind.heatmaps)
        kind.decodes_jpeg = os.environ['RIG'] == 'jpeg'
    Mailboxes.put, CameraOutput.publish = put, publish
    if os.environ['RIG'] == 'broken':
        Reader.read = read_once_broken
    if os.environ['RIG'].startswith('look='):
        Detector.find = look
    run('vitpose_ros.ros.pose_node:PoseNode')
