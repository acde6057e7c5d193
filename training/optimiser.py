"""The optimiser: Muon for the matrices of the blocks, AdamW for all else.

Muon (Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024) makes each
step of a matrix nearly orthogonal. It needs fewer samples than AdamW, but a step costs more: the
processes share the matrices out and tell each other the new values.
"""

import math
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from vitpose_ros.core.runtime import processor

LARGEST_GRADIENT = 1.0  # the norm that longer ones are cut to


class Optimiser:
    """Optimises a network that several processes train, each on samples of its own."""

    def __init__(
        self, network: nn.Module, *, decay: float, muon: float, process: int, processes: int
    ) -> None:
        """Take the weight decay, and the rate of Muon in parts of that of AdamW."""
        self._parameters = list(network.parameters())
        self._muon_rate = muon
        self._process = process
        matrices = {
            name: parameter
            for name, parameter in network.named_parameters()
            if parameter.ndim == 2 and 'blocks.' in name
        }
        self._shares = [list(matrices.values())[share::processes] for share in range(processes)]
        others = [p for name, p in network.named_parameters() if name not in matrices]
        self._adamw = torch.optim.AdamW(
            [
                {'params': [p for p in others if p.ndim > 1], 'weight_decay': decay},
                {'params': [p for p in others if p.ndim <= 1], 'weight_decay': 0.0},
            ],
            betas=(0.9, 0.99),
            fused=True,
        )
        # Its steps are made as large as AdamW's, so that rates compare.
        self._muon = torch.optim.Muon(
            self._shares[process], weight_decay=decay, adjust_lr_fn='match_rms_adamw'
        )
        self.precision = nullcontext() if processor.has_bfloat16() else Float32()

    def step(self, rate: float) -> None:
        """Change the network by the mean of all processes' gradients.

        All of them have gradients of the same parameters; the others stay as they are.
        """
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        if len(self._shares) > 1:
            mean = _flat(gradients)
            dist.all_reduce(mean)
            _fill(gradients, mean / len(self._shares))
        nn.utils.clip_grad_norm_(self._parameters, LARGEST_GRADIENT)
        for group in self._adamw.param_groups:
            group['lr'] = rate
        for group in self._muon.param_groups:
            group['lr'] = rate * self._muon_rate
        self._adamw.step()
        with self.precision:
            self._muon.step()
        if len(self._shares) > 1:
            for owner, share in enumerate(self._shares):
                new = _flat(share)
                dist.broadcast(new, owner)
                _fill(share, new)

    def state(self) -> dict[str, Any] | None:
        """Return what to go on from; to be called in all processes, None in all but the first."""
        states: list[Any] = [None] * len(self._shares)
        if len(self._shares) == 1:
            states = [self._muon.state_dict()]
        else:
            dist.gather_object(self._muon.state_dict(), states if self._process == 0 else None)
        return {'adamw': self._adamw.state_dict(), 'muon': states} if self._process == 0 else None

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self._adamw.load_state_dict(state['adamw'])
        self._muon.load_state_dict(state['muon'][self._process])


def cooling(done: float, cool_down: float) -> float:
    """Return the learning rate as a part of the first: one, and at the end down to zero.

    done: the part of the training that is over; cool_down: its last part, in which the rate falls
    by one less the root of what is done of it, as in Hägele et al., "Scaling Laws and
    Compute-Optimal Training Beyond Fixed Training Durations", 2024 (arXiv:2405.18392): a training
    can be made longer without another beginning.
    """
    left = max(0.0, 1 - done)
    return 1 - math.sqrt(1 - min(1.0, left / cool_down))


class Float32(TorchFunctionMode):
    """Lets Muon multiply in float32: it takes bf16, which most processors only imitate, slowly."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.bfloat16:
            return args[0].clone()
        return func(*args, **(kwargs or {}))


@torch.no_grad()
def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors])


@torch.no_grad()
def _fill(tensors: Sequence[Tensor], flat: Tensor) -> None:
    parts = flat.split([tensor.numel() for tensor in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.copy_(part.view_as(tensor))
