"""What the command lines share: how they run and fail, and the arguments of a network."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

from vitpose_ros.core.estimator import MAX_BATCH
from vitpose_ros.core.runtime import BACKENDS, BackendError
from vitpose_ros.core.runtime.export import ExportError
from vitpose_ros.core.skeletons import SKELETONS
from vitpose_ros.core.types import Precision
from vitpose_ros.core.weights import EMBEDDED_MODEL, CheckpointError

MOST_THREADS, MOST_BATCH = 1024, 1024
MODEL = 'a known name, a file, or a Hugging Face directory'


class ToolError(RuntimeError):
    """What a command line cannot do; says why, and what helps."""


ERRORS = (BackendError, CheckpointError, ExportError, ToolError)


def run(
    parser: argparse.ArgumentParser,
    work: Callable[[argparse.Namespace], int | None],
    arguments: Sequence[str] | None = None,
) -> int:
    """Parse the arguments, those of the process if None, and do the work; return the exit code.

    work: returns the exit code, None for 0. Errors of ours are a line, 130 is an interruption.
    """
    chosen = parser.parse_args(arguments)
    try:
        return work(chosen) or 0
    except ERRORS as error:
        print(f'{parser.prog}: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f'{parser.prog}: interrupted', file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, head for example, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add the option --model."""
    parser.add_argument(
        '--model', default=EMBEDDED_MODEL, help=f'{MODEL}; {EMBEDDED_MODEL} if left out'
    )


def add_runtime(
    parser: argparse.ArgumentParser, *, precision: str = 'auto', max_batch: int = MAX_BATCH
) -> None:
    """Add the options of what runs a network, with these defaults."""
    parser.add_argument(
        '--backend',
        choices=BACKENDS,
        default='auto',
        help='what runs the network; auto: PyTorch on a GPU, else OpenVINO if it is installed',
    )
    parser.add_argument(
        '--device', default='auto', help='auto, cpu, cuda, cuda:N, or intel_gpu (OpenVINO)'
    )
    parser.add_argument(
        '--precision',
        choices=('auto', *get_args(Precision)),
        default=precision,
        help=f'numbers that it computes with; {precision} if left out',
    )
    parser.add_argument(
        '--threads',
        type=whole(0, MOST_THREADS),
        default=0,
        help='of the processor; 0: all cores but one',
    )
    parser.add_argument(
        '--max-batch',
        type=whole(1, MOST_BATCH),
        default=max_batch,
        help=f'most subjects in one forward pass; {max_batch} if left out',
    )


def add_keypoint_sets(parser: argparse.ArgumentParser, otherwise: str) -> None:
    """Add the option --keypoint-sets; otherwise: what counts where it is left out."""
    parser.add_argument(
        '--keypoint-sets',
        type=names,
        metavar='SETS',
        help=f'separated by commas ({", ".join(SKELETONS)}); {otherwise} if left out',
    )


def names(text: str) -> list[str]:
    """Read names that are separated by commas; at least one."""
    found = [name.strip() for name in text.split(',') if name.strip()]
    if not found:
        raise argparse.ArgumentTypeError(f"'{text}' holds no name; separate them by commas")
    return found


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """Return what reads a whole number from least to most."""
    span = f'{least} or more' if most is None else f'{least} to {most}'

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(
                f"'{text}' is no whole number; give {span}"
            ) from error
        if number < least or (most is not None and number > most):
            wrong = 'too few' if number < least else 'too many'
            raise argparse.ArgumentTypeError(f'{number} is {wrong}; give {span}')
        return number

    return read


def size(text: str) -> tuple[int, int]:
    """Read a height and a width in pixels."""
    parts = text.split('x')
    if len(parts) != 2 or not all(part.isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(
            f"'{text}' is no height and width in pixels; give both, as in 256x192"
        )
    return int(parts[0]), int(parts[1])


def new_file(text: str) -> Path:
    """Read the name of a file to write; it fails before any work, not after it."""
    path = Path(text)
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f'there is no folder {path.parent}')
    if path.is_dir():
        raise argparse.ArgumentTypeError(f'{path} is a folder; give the name of a file')
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f'{path} cannot be written; give another name')
    return path
