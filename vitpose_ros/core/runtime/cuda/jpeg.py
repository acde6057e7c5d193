"""Decoders of JPEG files on a GPU: torchvision's and nvImageCodec's, where they are installed.

Neither is required. Each is tried beside OpenCV on files that OpenCV wrote.
"""

import time
from collections.abc import Callable, Mapping
from functools import partial
from statistics import median

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from vitpose_ros.core.jpeg import decode_image
from vitpose_ros.core.runtime.cuda.device import finish, on_device
from vitpose_ros.core.runtime.faults import brief

# From a file to an image (h, w, 3) uint8 RGB on the device, with any strides, for the current
# stream. Raises what it likes.
Decoder = Callable[[NDArray[np.uint8]], Tensor]

SIZES = ((45, 61), (720, 1280))  # of the files it is tried on; the last one is timed
QUALITY, SOFT = 90, 40  # of these files; pixels between their colours
# Grey levels, of the mean over an image. OpenCV interpolates colours that the file has of every
# second pixel, nvJPEG repeats them.
LARGEST_DIFFERENCE = 2.0
WARM_UP, ROUNDS = 3, 7  # of a measurement


def torchvision_decoder(device: torch.device) -> Decoder:
    """Return torchvision's decoder. Raises where it is not there, or of another PyTorch."""
    from torchvision.io import ImageReadMode, decode_jpeg

    def decode(data: NDArray[np.uint8]) -> Tensor:
        if device.type == 'cuda':
            # It writes on a stream of its own, into memory that the current one may still read.
            torch.cuda.current_stream(device).synchronize()
        # PyTorch warns of memory that is not writeable, as that of bytes.
        file = torch.from_numpy(data if data.flags.writeable else data.copy())
        planes: Tensor = decode_jpeg(file, mode=ImageReadMode.RGB, device=device)
        return planes.permute(1, 2, 0)

    return decode


def nvimgcodec_decoder(device: torch.device) -> Decoder:
    """Return nvImageCodec's decoder. Raises where it is not there."""
    from nvidia import nvimgcodec

    decoder = nvimgcodec.Decoder(device_id=device.index, options=':fancy_upsampling=1')
    parameters = nvimgcodec.DecodeParams(apply_exif_orientation=False)  # else RGB of 8 bits

    def decode(data: NDArray[np.uint8]) -> Tensor:
        stream = torch.cuda.current_stream(device)
        image = decoder.decode(data.tobytes(), params=parameters, cuda_stream=stream.cuda_stream)
        if image is None:
            raise ValueError('nvImageCodec does not decode this file')
        copy = from_dlpack(image).clone()
        stream.synchronize()  # before its own memory goes
        return copy

    return decode


DECODERS: dict[str, Callable[[torch.device], Decoder]] = {
    'torchvision': torchvision_decoder,
    'nvImageCodec': nvimgcodec_decoder,
}


@torch.inference_mode()
def choose_decoder(
    device: torch.device, makers: Mapping[str, Callable[[torch.device], Decoder]] = DECODERS
) -> tuple[Decoder | None, str]:
    """Return the fastest decoder that is right and faster than OpenCV, and what became of each.

    None where there is none. On a processor nothing is chosen by time.
    """
    decoders, found = {}, []
    for name, make in makers.items():
        try:
            with on_device(device):
                decoders[name] = make(device)
        except Exception as error:  # not installed, or for another version of PyTorch
            found.append(f'{name} {brief(error)}')
    if not decoders:
        return None, f'not taken: {", ".join(found)}'
    files = [trial_file(height, width) for height, width in SIZES]
    plain_ms = _milliseconds(partial(decode_image, files[-1]), device)
    found.append(f'OpenCV {plain_ms:.2f} ms')
    fast: dict[str, float] = {}
    for name, decoder in decoders.items():
        try:
            with on_device(device):
                worst = max(_difference(decoder, file, device) for file in files)
                own_ms = _milliseconds(partial(decoder, files[-1]), device)
        except Exception as error:  # a driver, a card: whatever it is
            found.append(f'{name} {brief(error)}')
            continue
        found.append(f'{name} {own_ms:.2f} ms')
        if not worst <= LARGEST_DIFFERENCE:  # NaN is no better
            found[-1] = f'{name} differs by {worst:.1f} grey levels'
        elif own_ms < plain_ms or device.type != 'cuda':
            fast[name] = own_ms
    best = min(fast, key=fast.__getitem__, default='')
    words = ', '.join(found)
    return decoders.get(best), f'taken: {best}: {words}' if best else f'not taken: {words}'


def trial_file(height: int, width: int) -> NDArray[np.uint8]:
    """Return a JPEG file of soft colours and grains, with every second pixel's colour."""
    random = np.random.default_rng(0)
    rows, columns = height // SOFT + 1, width // SOFT + 1
    coarse = random.integers(30, 226, (rows, columns, 3), dtype=np.uint8)
    soft = cv2.resize(coarse, (columns * SOFT, rows * SOFT), interpolation=cv2.INTER_CUBIC)
    picture = soft[:height, :width] + random.normal(0, 5, (height, width, 1)).astype(np.float32)
    # OpenCV subsamples 4:2:0 by itself; releases before 4.7 don't know the setting for it.
    settings = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    _, file = cv2.imencode('.jpg', picture.clip(0, 255).astype(np.uint8), settings)
    return np.asarray(file, dtype=np.uint8)


def _difference(decoder: Decoder, file: NDArray[np.uint8], device: torch.device) -> float:
    """Return by how many grey levels an image differs from OpenCV's, in the mean."""
    expected = decode_image(file)
    assert expected is not None, 'OpenCV wrote it'
    image = decoder(file)
    if image.shape != expected.shape or image.dtype != torch.uint8 or image.device != device:
        raise ValueError(f'it gives {tuple(image.shape)} {image.dtype} on {image.device}')
    return float(np.abs(image.cpu().numpy().astype(int) - expected[..., ::-1]).mean())


def _milliseconds(function: Callable[[], object], device: torch.device) -> float:
    """Return how long it takes until the device is done."""
    times = []
    for _ in range(WARM_UP + ROUNDS):
        begin = time.perf_counter()
        function()
        finish(device)
        times.append(1e3 * (time.perf_counter() - begin))
    return median(times[WARM_UP:])
