"""A model of how PyTorch's caching allocator hands out the memory of CUDA graphs.

After the notes on memory management of PyTorch's documentation and c10/cuda/CUDACachingAllocator:
sizes are rounded to 512 bytes; up to 1 MB comes out of segments of 2 MB, up to 10 MB out of
segments of 20 MB, more out of one of its own; the smallest free block that fits is taken, split
where enough is left, and joined with free neighbours when it is given back.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

MB = 1 << 20
WARM_UPS = 7  # functions: a trunk and six heads, of the first batch size


@dataclass(eq=False)
class Block:
    """Memory of a segment, in use or free."""

    start: int
    size: int
    free: bool = True


@dataclass
class Segment:
    """What was taken from the device at once."""

    small: bool
    size: int
    blocks: list[Block] = field(default_factory=list)


class Pool:
    """The memory of all graphs that are captured on one stream."""

    def __init__(self):
        self.segments = []

    @property
    def reserved(self):
        return sum(segment.size for segment in self.segments)

    def allocate(self, size):
        size = max(512, -(-size // 512) * 512)
        small = size <= MB
        fitting = [
            (block.size, number, place)
            for number, segment in enumerate(self.segments)
            if segment.small == small
            for place, block in enumerate(segment.blocks)
            if block.free and block.size >= size
        ]
        if fitting:
            _, number, place = min(fitting)
        else:
            whole = (
                2 * MB if small else 20 * MB if size < 10 * MB else -(-size // (2 * MB)) * 2 * MB
            )
            self.segments.append(Segment(small, whole, [Block(0, whole)]))
            number, place = len(self.segments) - 1, 0
        blocks = self.segments[number].blocks
        block = blocks[place]
        rest = block.size - size
        if rest >= 512 if small else rest > MB:
            blocks.insert(place + 1, Block(block.start + size, rest))
            block.size = size
        block.free = False
        return number, block

    def release(self, given):
        number, block = given
        blocks = self.segments[number].blocks
        block.free = True
        place = blocks.index(block)
        if place + 1 < len(blocks) and blocks[place + 1].free:
            block.size += blocks.pop(place + 1).size
        if place and blocks[place - 1].free:
            blocks[place - 1].size += blocks.pop(place).size


class Tracer(TorchDispatchMode):
    """Plays the allocations of what runs within it into a pool."""

    def __init__(self, pool: Pool) -> None:
        super().__init__()
        self._pool = pool
        self._live = {}
        self._seen = set()  # storages that were there before

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.sweep()
        for tensor in tree_leaves((args, kwargs)):
            if isinstance(tensor, torch.Tensor) and self._key(tensor) not in self._live:
                self._seen.add(self._key(tensor))
        out = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                key = self._key(tensor)
                if key not in self._live and key not in self._seen:
                    storage = tensor.untyped_storage()
                    given = self._pool.allocate(storage.nbytes())
                    self._live[key] = (StorageWeakRef(storage), given)
        return out

    @staticmethod
    def _key(tensor):
        return tensor.untyped_storage()._cdata

    def sweep(self):
        """Give back what nobody holds any more; return how many bytes are held."""
        for key, (reference, given) in list(self._live.items()):
            if reference.expired():
                self._pool.release(given)
                del self._live[key]
        return sum(given[1].size for _, given in self._live.values())


class TracingRecorder:
    """Records nothing: plays the allocations of each function into one pool, or one for each."""

    def __init__(self, *, one_pool: bool = True) -> None:
        self._one_pool = one_pool
        self._pools = [Pool()]
        self.left = []  # bytes that each function left in use

    def record(self, function: Callable[[], object]) -> Callable[[], object]:
        if len(self.left) < WARM_UPS:
            function()  # makes tables and the like, which stay
        if not self._one_pool:
            self._pools.append(Pool())
        with Tracer(self._pools[-1]) as tracer:
            function()
        self.left.append(tracer.sweep())
        return function

    @property
    def reserved(self) -> int:
        return sum(pool.reserved for pool in self._pools)
