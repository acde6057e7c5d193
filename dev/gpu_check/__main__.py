"""make gpu-check: run all parts, write what comes, and tell what passed.

GPU_CHECK_SECONDS: how long all may take, 400 by default. GPU_CHECK_DRY=1: all of it small, on the
processor, to see that it runs. OUT: the folder for results.jsonl, report.md and log.txt.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

PROBE = """
import torch
if not torch.cuda.is_available():
    raise SystemExit(f'PyTorch {torch.__version__} sees no CUDA device')
torch.ones(1, dtype=torch.float16, device='cuda').add_(1).item()
"""
PROBE_LIMIT_S = 90.0


def main() -> int:
    """Check; return the exit code: 0 if all passed, 2 where there is nothing to check on."""
    begin = time.monotonic()
    end_on_signals()
    dry = os.environ.get('GPU_CHECK_DRY') == '1'
    fault = '' if dry else missing()
    if fault:
        print(
            f'gpu-check: {fault}. It needs an NVIDIA GPU and a CUDA build of PyTorch; '
            'GPU_CHECK_DRY=1 runs all of it small on the processor.',
            file=sys.stderr,
        )
        return 2
    from gpu_check.checking import check  # which imports PyTorch
    from gpu_check.parts import parts

    budget_s = float(os.environ.get('GPU_CHECK_SECONDS', '400')) - (time.monotonic() - begin)
    folder = Path(os.environ.get('OUT', 'gpu_check_output')).resolve()
    return check(parts(dry=dry), budget_s, folder)


def end_on_signals() -> None:
    """Let signals end this process, and on the way the part that runs."""

    def end(number: int, _: object) -> NoReturn:
        sys.exit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)


def missing() -> str:
    """Return what keeps a GPU from being used, nothing where a kernel runs."""
    command = [sys.executable, '-c', PROBE]
    try:
        probe = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_LIMIT_S)
    except subprocess.TimeoutExpired:
        return f'the GPU did not answer within {PROBE_LIMIT_S:.0f} s'
    return (probe.stderr.strip().splitlines() or ['no answer'])[-1] if probe.returncode else ''


if __name__ == '__main__':
    sys.exit(main())
