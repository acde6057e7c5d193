"""What the figures belong to: the machine, and the versions of what computes."""

import importlib
import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import date

import cv2
import torch

from vitpose_ros.core.runtime import processor

# What nvidia-smi is asked for, and what it is called here.
CARD = {
    'driver_version': 'driver',
    'clocks.max.sm': 'highest clock',
    'clocks.sm': 'clock now',
    'clocks.mem': 'memory clock',
    'power.limit': 'power limit',
    'temperature.gpu': 'temperature',
}
LIMIT_S = 20.0


def about(
    threads: int, modules: Sequence[str] = (), device: torch.device | None = None
) -> dict[str, str | int]:
    """Describe processor, GPU and versions.

    modules: of whom the version matters, too. device: of CUDA, the one that is measured.
    """
    facts: dict[str, str | int] = {
        'date': date.today().isoformat(),
        'processor': processor.name(),
        'cores': len(os.sched_getaffinity(0)),
        'threads': threads or processor.default_threads(),
        'python': platform.python_version(),
        'torch': torch.__version__,
        'opencv': cv2.__version__,
    }
    for module in ('openvino', 'onnxruntime', 'triton', *modules):
        try:
            facts[module] = importlib.import_module(module).__version__.split('-')[0]
        except ImportError:
            continue
    if device is not None and device.type == 'cuda':
        facts['gpu'] = torch.cuda.get_device_name(device)
        facts['CUDA'] = str(torch.version.cuda)
        facts['cuDNN'] = str(torch.backends.cudnn.version())
        facts.update(card(device.index or 0))
    return facts


def card(index: int) -> dict[str, str]:
    """Return what nvidia-smi says of a card; nothing where it does not answer."""
    query = ['nvidia-smi', f'--query-gpu={",".join(CARD)}', '--format=csv,noheader', f'-i={index}']
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=LIMIT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return {}
    values = [value.strip() for value in answer.stdout.strip().split(',')]
    return dict(zip(CARD.values(), values, strict=False))
