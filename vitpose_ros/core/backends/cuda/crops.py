"""Crops out of frames, into the memory of a GPU that a pass reads."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitpose_ros.core.backends.cuda import kernels
from vitpose_ros.core.backends.cuda.device import event, on, pinned, stream, wait
from vitpose_ros.core.backends.cuda.network import CENTRE, SCALE, cut_patches, padding_values
from vitpose_ros.core.backends.faults import brief, is_out_of_memory
from vitpose_ros.core.crops import HostCrops, crop_steps, sample_crops
from vitpose_ros.core.types import CHANNEL_COUNT, Channels, Frame
from vitpose_ros.core.vit import PATCH_PADDING, PATCH_SIZE

TABLE = 5  # float32 of a crop in the kernel's table: x, y, step in x, step in y, place
# Where red is in a pixel, and how far from there green, and blue from it.
ORDERS: dict[Channels, tuple[int, int]] = {
    'rgb': (0, 1), 'rgba': (0, 1), 'bgr': (2, -1), 'bgra': (2, -1), 'mono': (0, 0),
}  # fmt: skip
WARM_UP, ROUNDS = 3, 5  # of a measurement
MARGIN = 2  # pixels around a region that interpolation may touch, roundings included


@dataclass(frozen=True)
class Costs:
    """Seconds of the two ways: a fixed part, and what grows with crops or bytes."""

    here_s: float
    crop_s: float
    there_s: float
    byte_s: float


class Upload:
    """Memory of the host and of the device for what is sent together."""

    def __init__(self, device: torch.device, stream: Any) -> None:
        self._device = device
        self._stream = stream
        self._here = pinned(0, dtype=torch.uint8, device=device)
        self._there = torch.empty(0, dtype=torch.uint8, device=device)
        self._sent = event(device)

    def room(self, size: int) -> NDArray[np.uint8]:
        """Return so many bytes to fill, when the last that were sent are on the device."""
        self._sent.synchronize()
        if size > len(self._here):
            with on(self._device, self._stream):  # so that it is used again in its order alone
                self._there = torch.empty(size, dtype=torch.uint8, device=self._device)
            self._here = pinned(size, dtype=torch.uint8, device=self._device)
        return self._here[:size].numpy()

    def send(self, size: int) -> Tensor:
        """Send so many bytes on the stream, which is the current one, and return them there."""
        there = self._there[:size]
        there.copy_(self._here[:size], non_blocking=True)
        self._sent.record()
        return there

    def drop(self) -> None:
        """Give the memory of the device back."""
        self._there = torch.empty(0, dtype=torch.uint8, device=self._device)
        self._here = pinned(0, dtype=torch.uint8, device=self._device)


class CudaCrops:
    """Cuts crops on the processor and sends them, or sends frames and cuts on the GPU.

    It does what takes less time, by a measurement of both. Either way copies run on a stream of
    their own. What it writes are crops (n, h, w, 3) uint8, or patches (n t, 768); see
    network.cut_patches.
    """

    def __init__(
        self,
        size: tuple[int, int],
        device: torch.device,
        *,
        out: Tensor | None = None,
        fault: str | None = None,
        bounding_area: bool = True,
        costs: Costs | None = None,
    ) -> None:
        """Take height and width of a crop in pixels.

        out: memory to write into, crops or patches, for as many as will ever come; without it
        crops go to memory that grows. fault: what keeps the kernel from being used, by
        kernel_fault; None: try it. bounding_area: of a frame send only what its regions cover.
        costs: of the two ways; None: measure them.
        """
        self.size = size
        self._device = device
        self._bounding_area = bounding_area
        self._stream = stream(device)
        self._host = HostCrops(size, pin_memory=device.type == 'cuda')
        self._sent = event(device)  # the crops that were cut on the processor
        self._staged = torch.empty(0, *size, 3, dtype=torch.uint8, device=device)
        self._uploads = [Upload(device, self._stream), Upload(device, self._stream)]
        self._grows = out is None
        self._memory = self._staged if out is None else out
        self._patches = self._memory.dtype != torch.uint8
        self._rows = size[0] * size[1] // PATCH_SIZE**2 if self._patches else 1  # of a crop
        self._count = self._filled = 0
        self._fault = kernel_fault(device) if fault is None else fault
        assert not (self._patches and self._fault), 'patches are cut by the kernel alone'
        self._there = True  # whether frames may be sent
        self._costs = costs or self._measure()

    def begin(self, count: int) -> None:
        """Make room for so many crops; see Crops."""
        self._sent.synchronize()  # the host's memory may be written again
        self._host.begin(count)
        self._count, self._filled = count, 0
        if self._grows and count > len(self._memory):
            self._memory = torch.empty(
                count, *self.size, 3, dtype=torch.uint8, device=self._device
            )
        wait(self._device, waiting=self._stream)

    def cut(
        self,
        frame: Frame,
        regions: NDArray[np.float64],
        udp: NDArray[np.bool_],
        places: NDArray[np.int64],
    ) -> None:
        """Cut regions out of a frame; see Crops."""
        costs = self._costs
        here_s = costs.here_s + len(places) * costs.crop_s
        left, top, right, bottom = self._area(frame, regions)
        size = (right - left) * (bottom - top) * CHANNEL_COUNT[frame.channels]
        if self._there and costs.there_s + size * costs.byte_s < here_s:
            try:
                self.cut_there(frame, regions, udp, places)
                return
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                self.relieve()
        self.cut_here(frame, regions, udp, places)

    def relieve(self) -> None:
        """Give memory back, and send no frames from now on: memory ran out."""
        self._there = False
        for upload in self._uploads:
            upload.drop()

    def cut_here(
        self,
        frame: Frame,
        regions: NDArray[np.float64],
        udp: NDArray[np.bool_],
        places: NDArray[np.int64],
    ) -> None:
        """Cut on the processor, and send the crops."""
        count = len(places)
        if not count:
            return
        run = slice(self._filled, self._filled + count)
        self._filled += count
        self._host.cut(frame, regions, udp, np.arange(run.start, run.stop))
        crops = self._host.batch()[run]
        in_order = bool((np.diff(places) == 1).all())
        if not in_order or self._patches:
            places_there = torch.from_numpy(places).to(self._device)
        with torch.inference_mode(), on(self._device, self._stream):
            if in_order and not self._patches:
                start = int(places[0])
                self._memory[start : start + count].copy_(crops, non_blocking=True)
            else:
                if len(self._staged) < self._count:
                    with torch.inference_mode(mode=False):
                        self._staged = torch.empty(
                            self._count, *self.size, 3, dtype=torch.uint8, device=self._device
                        )
                staged = self._staged[run]
                staged.copy_(crops, non_blocking=True)
                if self._patches:
                    patches = cut_patches(staged, self._memory.dtype)
                    rows = (-1, self._rows, patches.shape[1])
                    self._memory.view(rows).index_copy_(0, places_there, patches.view(rows))
                else:
                    self._memory.index_copy_(0, places_there, staged)
            self._sent.record(self._stream)

    def cut_there(
        self,
        frame: Frame,
        regions: NDArray[np.float64],
        udp: NDArray[np.bool_],
        places: NDArray[np.int64],
    ) -> None:
        """Send what the regions cover of the frame, and cut on the GPU."""
        count = len(places)
        if not count:
            return
        left, top, right, bottom = self._area(frame, regions)
        part = frame.image[top:bottom, left:right]
        shifted = regions - (left, top, 0, 0)
        table = np.empty((count, TABLE), np.float32)
        table[:, :2], table[:, 2:4] = shifted[:, :2], crop_steps(regions, self.size, udp)
        table[:, 4] = places
        upload = self._uploads[0]
        self._uploads.reverse()
        room = upload.room(table.nbytes + part.size)
        room[: table.nbytes] = table.view(np.uint8).ravel()
        room[table.nbytes :].reshape(part.shape)[...] = part
        with torch.inference_mode(), on(self._device, self._stream):
            sent = upload.send(len(room))
            image = sent[table.nbytes :].view(part.shape)
            if not self._fault:
                sample(image, sent[: table.nbytes], frame.channels, self._memory, self.size)
                return
            crops = sample_crops(image, frame.channels, shifted, udp, self.size)
            places_there = sent[: table.nbytes].view(torch.float32).view(count, TABLE)[:, 4]
            self._memory.index_copy_(0, places_there.long(), crops)

    def batch(self) -> Tensor:
        """Return the crops, or patches, on the GPU; see Crops."""
        wait(self._device, awaited=self._stream)
        return self._memory[: self._count * self._rows]

    def _area(self, frame: Frame, regions: NDArray[np.float64]) -> tuple[int, int, int, int]:
        """Return what of a frame regions may touch: left, top, right, bottom in pixels."""
        height, width = frame.image.shape[:2]
        if not self._bounding_area or not len(regions):
            return 0, 0, width, height
        low = np.floor(regions[:, :2].min(axis=0)) - MARGIN
        high = np.ceil((regions[:, :2] + regions[:, 2:]).max(axis=0)) + MARGIN
        left, top = np.clip(low, 0, (width - 1, height - 1)).astype(int).tolist()
        right, bottom = np.clip(high, (left + 1, top + 1), (width, height)).astype(int).tolist()
        return left, top, right, bottom

    def _measure(self) -> Costs:
        """Measure both ways."""

        def seconds(cut: Callable[..., None], width: int, count: int) -> float:
            image = np.zeros((width * 9 // 16, width, 3), np.uint8)
            frame = Frame(image, np.empty((0, 4), np.float32))
            height = float(len(image))
            regions = np.tile([0.0, 0.0, float(width), height], (count, 1))
            times = []
            for _ in range(WARM_UP + ROUNDS):
                begin = time.perf_counter()
                self.begin(count)
                cut(frame, regions, np.ones(count, bool), np.arange(count))
                self.batch()
                _finish(self._device)
                times.append(time.perf_counter() - begin)
            return median(times[WARM_UP:])

        capacity = len(self._memory) // self._rows
        many = 8 if self._grows else min(8, capacity)
        here, here_many = seconds(self.cut_here, 320, 1), seconds(self.cut_here, 320, many)
        crop_s = max(0.0, here_many - here) / max(1, many - 1)
        there, there_large = seconds(self.cut_there, 320, 1), seconds(self.cut_there, 1280, 1)
        small, large = (3 * width * (width * 9 // 16) for width in (320, 1280))
        byte_s = max(0.0, there_large - there) / (large - small)
        return Costs(here - crop_s, crop_s, there - small * byte_s, byte_s)


def sample(
    image: Tensor, table: Tensor, channels: Channels, out: Tensor, size: tuple[int, int]
) -> None:
    """Cut regions out of an image (h, w, c) or (h, w) uint8 by the kernel.

    table: bytes of (n, TABLE) float32. out: crops or patches. size: height and width of a crop.
    """
    kernels.sample(
        image,
        table.view(torch.float32).view(-1, TABLE),
        padding_values(image.device, torch.float32 if out.dtype == torch.uint8 else out.dtype),
        out,
        size=size,
        patch=PATCH_SIZE,
        margin=0 if out.dtype == torch.uint8 else PATCH_PADDING,
        centre=CENTRE,
        scale=SCALE,
        channels=ORDERS[channels],
    )


@torch.inference_mode()
def kernel_fault(device: torch.device) -> str:
    """Return what keeps the kernel from being used, nothing where it gives what PyTorch does."""
    fault = kernels.fault(device)
    if fault:
        return fault
    size = (2 * PATCH_SIZE, PATCH_SIZE)
    image = torch.arange(40 * 30 * 3, dtype=torch.int32).mul(7).to(torch.uint8).view(40, 30, 3)
    regions, udp = np.array([[-3.0, 2.0, 20.0, 40.0], [4.5, -1.0, 9.0, 18.0]]), np.ones(2, bool)
    table = np.column_stack((regions[:, :2], crop_steps(regions, size, udp), (0, 1)))
    rows = torch.from_numpy(table.astype(np.float32)).to(device)
    out = torch.empty(2, *size, 3, dtype=torch.uint8, device=device)
    try:
        sample(image.to(device), rows.view(torch.uint8), 'bgr', out, size)
        expected = sample_crops(image.to(device), 'bgr', regions, udp, size)
        worst = int((out.int() - expected.int()).abs().max())
    except Exception as error:  # a compiler, a driver, a card: whatever it is
        return brief(error)
    return f'its crops differ by {worst} grey levels' if worst > 1 else ''


def _finish(device: torch.device) -> None:
    """Wait until the device has nothing left to do."""
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
