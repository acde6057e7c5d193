"""What the command lines share: how they run and fail, and the arguments of a network."""

import argparse
import logging
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from vitpose_ros.core.errors import VitposeError
from vitpose_ros.core.option import OptionError
from vitpose_ros.core.runtime.options import Options, table
from vitpose_ros.core.skeletons import SKELETONS
from vitpose_ros.core.tracks.options import TrackOptions
from vitpose_ros.core.weights import EMBEDDED_MODEL

PACKAGE = __name__.partition('.')[0]

MODEL = 'a known name, a file, or a Hugging Face directory'


class ToolError(VitposeError, RuntimeError):
    """What a command line cannot do; says why, and what helps."""


def run(
    parser: argparse.ArgumentParser,
    work: Callable[[argparse.Namespace], int | None],
    arguments: Sequence[str] | None = None,
) -> int:
    """Parse the arguments, those of the process if None, and do the work; return the exit code.

    work: returns the exit code, None for 0. Errors of ours are a line, 130 is an interruption.
    What is logged goes to stderr.
    """
    chosen = parser.parse_args(arguments)
    handler = logging.StreamHandler()  # to stderr
    logger = logging.getLogger(PACKAGE)
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        return work(chosen) or 0
    except VitposeError as error:
        print(f'{parser.prog}: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f'{parser.prog}: interrupted', file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, head for example, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a disk that is full
        where = f"'{error.filename}': " if error.filename else ''
        print(f'{parser.prog}: {where}{error.strerror or error}', file=sys.stderr)
        return 1
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add the option --model."""
    parser.add_argument(
        '--model', default=EMBEDDED_MODEL, help=f'{MODEL}; {EMBEDDED_MODEL} if left out'
    )


def add_options(parser: argparse.ArgumentParser, *wanted: str, **defaults: Any) -> None:
    """Add arguments for some of Options, or all; defaults: those that differ from its own."""
    group = parser.add_argument_group('how the network is run')
    for entry in table():
        if wanted and entry.name not in wanted:
            continue
        default, text = defaults.get(entry.name, entry.default), entry.metadata['description']
        flag = f'--{entry.name.replace("_", "-")}'
        if isinstance(default, bool):
            group.add_argument(flag, action='store_true', default=default, help=text)
            continue
        form = {'keypoint_sets': (names, 'SETS'), 'image_size': (size, 'HxW')}
        read, shown = form.get(entry.name, (int if isinstance(default, int) else str, None))
        about = '' if default is None else f'; {default} if left out'
        kind = _checked(entry.name, read)
        group.add_argument(flag, type=kind, metavar=shown, default=default, help=text + about)


def add_tracking(parser: argparse.ArgumentParser) -> None:
    """Add arguments for who is who in videos, and how much keypoints are calmed."""
    group = parser.add_argument_group('over time, in videos')
    about = {entry.name: entry.metadata for entry in fields(TrackOptions)}
    for name, note in (
        ('tracking', '; off if left out, and ids are those of the boxes'),
        ('smoothing', ', of subjects that are followed; off if left out'),
    ):
        group.add_argument(
            f'--{name}',
            choices=about[name]['choices'],
            default='off',
            help=about[name]['description'] + note,
        )


def read_tracking(chosen: argparse.Namespace) -> TrackOptions:
    """Return the options of add_tracking. Raises OptionError where they do not fit together."""
    return TrackOptions(tracking=chosen.tracking, smoothing=chosen.smoothing)


def _checked(name: str, read: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return what reads an option, and checks it as Options does, with its words."""

    def checked(text: str) -> Any:
        try:
            value = read(text)
        except ValueError:
            value = text
        try:
            Options(**{name: value})
        except OptionError as error:
            raise argparse.ArgumentTypeError(str(error)) from error
        return value

    return checked


def read_options(chosen: argparse.Namespace) -> Options:
    """Return the options among parsed arguments. Raises OptionError."""
    own = {entry.name for entry in table()}
    return Options(**{name: value for name, value in vars(chosen).items() if name in own})


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


def number(text: str) -> float:
    """Read a finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"'{text}' is no number; give one such as 0.5")
    return value


def size(text: str) -> tuple[int, int]:
    """Read a height and a width in pixels."""
    parts = text.split('x')
    if len(parts) != 2 or not all(part.isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(
            f"'{text}' is no height and width in pixels; give both, as in 256x192"
        )
    return int(parts[0]), int(parts[1])


def keep(option: str, out: Path, sources: Iterable[Path]) -> None:
    """Raise ToolError where a file that is read would be written over."""
    for source in sources:
        if out.exists() and source.exists() and out.samefile(source):
            raise ToolError(f"{option} '{out}' would overwrite what is read; give another name")


def new_file(text: str) -> Path:
    """Read the name of a file to write; it fails before any work, not after it."""
    path = Path(text)
    if fault := new_file_fault(path):
        raise argparse.ArgumentTypeError(fault)
    return path


def new_file_fault(path: Path) -> str:
    """Say why a file cannot be written; '' if it can."""
    try:
        path.exists()
    except OSError as error:
        return f'{path}: {error.strerror}'
    if not path.parent.is_dir():
        return f'there is no folder {path.parent}'
    if path.is_dir():
        return f'{path} is a folder; give the name of a file'
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        return f'{path} cannot be written; give another name'
    return ''


def check_out(out: Path, suffix: str) -> None:
    """Raise ToolError for a file that cannot be written, before the work for it."""
    if out.suffix != suffix:
        raise ToolError(f"'{out}': give a name that ends in {suffix}")
    if fault := new_file_fault(out):
        raise ToolError(f"'{out}': {fault}")


@contextmanager
def written(out: Path, suffix: str) -> Iterator[Path]:
    """Yield a file to write, which then takes its name; check_out says beforehand if it cannot.

    So an interrupted run leaves no half one, and what is read may be what is written.
    """
    check_out(out, suffix)
    unfinished = out.with_name(f'{out.name}.partial')
    try:
        yield unfinished
        unfinished.replace(out)
    except OSError as error:
        raise ToolError(f"'{out}' cannot be written ({error}); give another OUT") from error
    finally:
        unfinished.unlink(missing_ok=True)
