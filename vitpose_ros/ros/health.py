"""How the node itself fares, in any state."""

from dataclasses import dataclass
from enum import Enum

import torch
from diagnostic_msgs.msg import DiagnosticStatus

from vitpose_ros.ros.diagnostics import ERROR, OK, WARN, status
from vitpose_ros.ros.memory import resident_memory_mb
from vitpose_ros.ros.network import Network


class State(str, Enum):
    """The states of the lifecycle, as far as the node behaves differently in them."""

    UNCONFIGURED = 'unconfigured'
    CONFIGURING = 'being configured'
    INACTIVE = 'inactive'
    ACTIVE = 'active'


@dataclass(frozen=True)
class Health:
    """What is to be said of the node as a whole."""

    state: State
    enabled: bool
    network: Network | None
    failure: str  # why the last configure or activate failed
    fault: str  # what keeps the worker from its work
    loss: str  # of the device: why the process ends

    @property
    def idle(self) -> str:
        """Why no camera is used now; empty if they are."""
        if self.state != State.ACTIVE:
            return str(self.state.value)
        return '' if self.enabled else 'disabled by ~/enable'

    @property
    def trouble(self) -> str:
        """What keeps the node from its work; empty if nothing does."""
        failed = self.state in (State.UNCONFIGURED, State.INACTIVE)
        return self.loss or self.fault or (self.failure if failed else '')

    def status(self, name: str) -> DiagnosticStatus:
        """Make the status of node and network."""
        level, message = OK, self.idle or 'active'
        if self.trouble:
            level, message = ERROR, self.trouble
        values: dict[str, object] = {'resident_memory_mb': f'{resident_memory_mb():.0f}'}
        if self.network is not None:
            values.update(_values_of(self.network))
            warnings = _warnings_of(self.network)
            if warnings and level == OK:
                level = WARN
            message = '; '.join([message, *warnings])
        return status(name, str(values.get('device', '')), level, message, values)


def _values_of(network: Network) -> dict[str, object]:
    estimator = network.estimator
    device = estimator.backend.device
    values: dict[str, object] = {
        'model': network.model,
        'keypoint_sets': ', '.join(skeleton.name for skeleton in estimator.skeletons),
        'device': device,
        'backend': estimator.backend.description,
        'max_batch': estimator.max_batch,
    }
    if network.detector is not None:
        values['detector'] = network.detector.kind
    if device.type == 'cuda':
        values['cuda_memory_mb'] = f'{torch.cuda.memory_reserved(device) / 1e6:.0f}'
    return values


def _warnings_of(network: Network) -> list[str]:
    warnings = []
    now = network.estimator.max_batch
    if now < network.max_batch:
        warnings.append(f'max_batch is {now} since memory ran out')
    if network.warning:
        warnings.append(network.warning)
    return warnings
