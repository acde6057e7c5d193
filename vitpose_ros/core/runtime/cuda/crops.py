"""Crops out of frames, into the memory of a GPU that a pass reads."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitpose_ros.core.geometry.crops import Cuts, HostCrops, crop_steps, sample_crops
from vitpose_ros.core.jpeg import Jpeg
from vitpose_ros.core.model.config import PATCH_SIZE
from vitpose_ros.core.runtime.cuda.device import event, finish, on_device, pinned, stream, wait
from vitpose_ros.core.runtime.cuda.jpeg import Decoder
from vitpose_ros.core.runtime.cuda.network import cut_patches
from vitpose_ros.core.runtime.cuda.sampling import TABLE, kernel_fault, sample
from vitpose_ros.core.runtime.cuda.uploads import Upload
from vitpose_ros.core.runtime.faults import brief, is_device_lost, is_out_of_memory
from vitpose_ros.core.types import CHANNEL_COUNT, Channels, Frame

WARM_UP, ROUNDS = 3, 5  # of a measurement
MARGIN = 2  # pixels around a region that interpolation may touch, roundings included
# Of what a decoder gives as RGB, where OpenCV gives it as BGR.
DECODED: dict[Channels, Channels] = {'bgr': 'rgb', 'rgb': 'bgr'}


@dataclass(frozen=True)
class Costs:
    """Seconds of the two ways: a fixed part, and what grows with crops or bytes."""

    here_s: float
    crop_s: float
    there_s: float
    byte_s: float


class CudaCrops:
    """Cuts crops on the processor and sends them, or sends frames and cuts on the GPU.

    It does what takes less time, by a measurement of both. JPEG files it decodes on the GPU and
    cuts there, where it has a decoder. All of that runs on a stream of its own. What it writes
    are crops (n, h, w, 3) uint8, or patches (n t, 768); see network.cut_patches.
    """

    def __init__(
        self,
        size: tuple[int, int],
        device: torch.device,
        *,
        out: Tensor | None = None,
        fault: str | None = None,
        bounding_area: bool = True,
        decoder: Decoder | None = None,
        costs: Costs | None = None,
        lose: Callable[..., object] | None = None,
    ) -> None:
        """Take height and width of a crop in pixels.

        out: memory to write into, crops or patches, for as many as will ever come; without it
        crops go to memory that grows. fault: what keeps the kernel from being used, by
        kernel_fault; None: try it. bounding_area: of a frame send only what its regions cover.
        decoder: of JPEG files, by choose_decoder. costs: of the two ways; None: measure them.
        lose: takes what is lost while frames come, as Backend.lose.
        """
        self.size = size
        self._device = device
        self._bounding_area = bounding_area
        self._decoder = decoder
        self._tell = lose
        self._decoded: tuple[Jpeg, Tensor] | None = None  # the last one, for its further regions
        self._has_warned = False
        self._stream = stream(device)
        self._host = HostCrops(size, pin_memory=device.type == 'cuda')
        self._sent = event(device)  # the crops that were cut on the processor
        # What goes to the memory of the passes out of order, or as patches.
        self._staged = self._crops_there(0)
        self._places_here = pinned(0, dtype=torch.int64, device=device)
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
        """Make room for so many crops; see Crops.

        Raises ValueError where the memory of the passes has room for fewer.
        """
        if not self._grows and count * self._rows > len(self._memory):
            raise ValueError(
                f'{count} crops do not fit into memory for {len(self._memory) // self._rows}; '
                'let the backend prepare for that many, and take its crops() anew'
            )
        self._sent.synchronize()  # the host's memory may be written again
        self._host.begin(count)
        self._count, self._filled = count, 0
        if self._grows and count > len(self._memory):
            self._memory = self._crops_there(count)
        if count > len(self._places_here):
            self._staged = self._crops_there(count)
            self._places_here = pinned(count, dtype=torch.int64, device=self._device)
        wait(self._device, waiting=self._stream)

    def cut(self, frame: Frame, cuts: Cuts) -> None:
        """Cut regions out of a frame; see Crops."""
        if self._there:
            try:
                if self._cut_decoded(frame, cuts):
                    return
                if self._is_cheaper_there(frame, cuts.regions):
                    self.cut_there(frame, cuts)
                    return
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                self.relieve()
        self.cut_here(frame, cuts)

    def _crops_there(self, count: int) -> Tensor:
        return torch.empty(count, *self.size, 3, dtype=torch.uint8, device=self._device)

    def relieve(self) -> None:
        """Give memory back, and keep no frames there from now on: memory ran out."""
        self._lose(
            f'the memory of {self._device} does not suffice for frames: their crops are cut on '
            'the processor from now on; end what else uses it, and configure anew',
            *('kernel_crops', 'bounding_area', 'gpu_jpeg'),
        )
        self._there = False
        self._decoded = None
        for upload in self._uploads:
            upload.drop()

    def _lose(self, text: str, *ways: str) -> None:
        logging.getLogger(__name__).warning(text)
        if self._tell is not None:
            self._tell(text, *ways)

    def cut_here(self, frame: Frame, cuts: Cuts) -> None:
        """Cut on the processor, and send the crops."""
        count, places = len(cuts), cuts.places
        if not count:
            return
        self._check(places)
        run = slice(self._filled, self._filled + count)
        self._filled += count
        self._host.cut(frame, replace(cuts, places=np.arange(run.start, run.stop)))
        crops = self._host.batch()[run]
        start = int(places[0])
        in_order = bool((np.diff(places) == 1).all())
        with torch.inference_mode(), on_device(self._device, self._stream):
            target = self._memory.view(-1, self._rows, *self._memory.shape[1:])
            if in_order and not self._patches:
                target[start : start + count, 0].copy_(crops, non_blocking=True)
                self._sent.record(self._stream)
                return
            staged = self._staged[run]
            staged.copy_(crops, non_blocking=True)
            if self._patches:
                staged = cut_patches(staged, self._memory.dtype)
            staged = staged.view(-1, *target.shape[1:])
            if in_order:
                target[start : start + count].copy_(staged)
            else:
                self._places_here[run] = torch.from_numpy(places)
                there = self._places_here[run].to(self._device, non_blocking=True)
                target.index_copy_(0, there, staged)
            self._sent.record(self._stream)

    def cut_there(self, frame: Frame, cuts: Cuts) -> None:
        """Send what the regions cover of the frame, and cut on the GPU."""
        if not len(cuts):
            return
        left, top, right, bottom = self._area(frame, cuts.regions)
        part = frame.pixels[top:bottom, left:right]
        shifted = replace(cuts, regions=cuts.regions - (left, top, 0, 0))
        self._sample(part, frame.channels, shifted)

    def _cut_decoded(self, frame: Frame, cuts: Cuts) -> bool:
        """Cut on the GPU out of what was decoded there; tell whether it was."""
        if not len(cuts) or (image := self._decode(frame.image)) is None:
            return False
        self._sample(image, DECODED[frame.channels], cuts)
        return True

    def _decode(self, image: NDArray[np.uint8] | Jpeg) -> Tensor | None:
        """Return an image (h, w, 3) RGB that is decoded on the GPU; None where it is not."""
        if self._decoder is None or not isinstance(image, Jpeg) or image.is_decoded:
            return None
        if self._decoded is not None and self._decoded[0] is image:
            return self._decoded[1]
        self._decoded = None
        try:
            with torch.inference_mode(), on_device(self._device, self._stream):
                decoded = self._decoder(image.data)
            if decoded.shape != image.shape:
                raise ValueError(f'it is {tuple(decoded.shape)}, expected {image.shape}')
        except Exception as error:
            if is_out_of_memory(error) or is_device_lost(error):
                raise
            if not self._has_warned:
                self._has_warned = True
                self._lose(
                    f'a JPEG cannot be decoded on {self._device} ({brief(error)}); it and others '
                    'like it are decoded on the processor, which takes longer',
                    'gpu_jpeg',
                )
            return None
        self._decoded = image, decoded
        return decoded

    def _sample(
        self,
        part: NDArray[np.uint8] | Tensor,
        channels: Channels,
        cuts: Cuts,
    ) -> None:
        """Cut regions out of an image, or a part of one, on the GPU; send it if it is an array."""
        self._check(cuts.places)
        table = np.empty((len(cuts), TABLE), np.float32)
        table[:, :2] = cuts.regions[:, :2]
        table[:, 2:4] = crop_steps(cuts.regions, self.size, cuts.udp)
        table[:, 4] = cuts.places
        upload = self._uploads[0]
        self._uploads.reverse()
        room = upload.room(table.nbytes + (0 if isinstance(part, Tensor) else part.size))
        room[: table.nbytes] = table.view(np.uint8).ravel()
        if not isinstance(part, Tensor):
            room[table.nbytes :].reshape(part.shape)[...] = part
        with torch.inference_mode(), on_device(self._device, self._stream):
            sent = upload.send(len(room))
            rows = sent[: table.nbytes]
            image = part if isinstance(part, Tensor) else sent[table.nbytes :].view(part.shape)
            if not self._fault:
                sample(image, rows, channels, self._memory, self.size)
                return
            crops = sample_crops(image, channels, cuts.regions, cuts.udp, self.size)
            places_there = rows.view(torch.float32).view(table.shape)[:, 4]
            self._memory.index_copy_(0, places_there.long(), crops)

    def _check(self, places: NDArray[np.int64]) -> None:
        """Raise ValueError for a place that the batch does not have: a kernel writes anywhere."""
        if places.min() < 0 or places.max() >= self._count:
            raise ValueError(
                f'places {places.min()} to {places.max()} are not in a batch of {self._count} '
                'crops; begin one of that many'
            )

    def batch(self) -> Tensor:
        """Return the crops, or patches, on the GPU; see Crops."""
        wait(self._device, awaited=self._stream)
        return self._memory[: self._count * self._rows]

    def _is_cheaper_there(self, frame: Frame, regions: NDArray[np.float64]) -> bool:
        left, top, right, bottom = self._area(frame, regions)
        size = (right - left) * (bottom - top) * CHANNEL_COUNT[frame.channels]
        costs = self._costs
        here_s = costs.here_s + len(regions) * costs.crop_s
        return costs.there_s + size * costs.byte_s < here_s

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
                cut(frame, Cuts(regions, np.ones(count, bool), np.arange(count)))
                self.batch()
                finish(self._device)
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
