"""What takes long to make, kept on disk: graphs, engines, measurements; bounded in age and size.

An entry is a folder. A file in it tells that it is ours, and by its time when it was last used:
entries that nobody used for MOST_DAYS go, and above MOST_BYTES those that lay unused longest.
Folders without that file are never touched.
"""

import contextlib
import fcntl
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from vitpose_ros.core.runtime.faults import is_out_of_memory
from vitpose_ros.core.weights import models_directory

LOG = logging.getLogger(__name__)

T = TypeVar('T')

CACHE_VARIABLE = 'VITPOSE_ROS_CACHE'  # environment variable
MARK = '.vitpose_ros'  # the file in an entry
UNFINISHED = '.unfinished'  # how folders end that are being filled
MOST_DAYS = 90
MOST_BYTES = 5 * 10**9
DAY_S = 86400.0  # what was used within a day stays, whatever its size
GRACE_S = 60.0  # between making a folder and locking it


def cache_directory() -> Path:
    """Return where entries are kept: $VITPOSE_ROS_CACHE, or beside the fetched networks."""
    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen).expanduser() if chosen else models_directory() / 'cache'


def cached(name: str, make: Callable[[Path], None], load: Callable[[Path], T]) -> T:
    """Load what an entry holds; let make fill its folder before, where it must.

    What cannot be loaded, half written before the power went, is made anew, and replaced by what
    loads. That, and where nothing can be kept, is logged.
    """
    folder = cache_directory() / name
    if folder.is_dir():
        try:
            loaded = load(folder)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            LOG.info('%s cannot be read and is made anew: %s', folder, error)
        else:
            mark(folder)
            return loaded
    with _unfinished(folder) as unfinished:
        make(unfinished)
        loaded = load(unfinished)
        if unfinished.parent == folder.parent:
            unfinished.chmod(0o755)
            mark(unfinished)
            _put(unfinished, folder)
    return loaded


def mark(folder: Path) -> None:
    """Note that an entry is used now."""
    with contextlib.suppress(OSError):  # a cache that only others may write
        (folder / MARK).touch()


def sweep(directory: Path, *, now_s: float) -> None:
    """Remove what a killed process left, entries long unused, and the oldest of too many bytes.

    now_s: the time, as time.time() gives it.
    """
    entries: list[tuple[float, int, Path]] = []
    for folder in directory.iterdir():
        if folder.is_symlink() or not folder.is_dir():
            continue
        with contextlib.suppress(OSError):  # gone, or of somebody else
            if folder.name.endswith(UNFINISHED):
                if now_s - folder.stat().st_mtime > GRACE_S:
                    _remove_if_left(folder)
            elif (folder / MARK).is_file():
                size = sum(path.lstat().st_size for path in folder.rglob('*'))
                entries.append((now_s - (folder / MARK).stat().st_mtime, size, folder))
    total = sum(size for _, size, _ in entries)
    for age_s, size, folder in sorted(entries, reverse=True):
        if age_s > MOST_DAYS * DAY_S or (total > MOST_BYTES and age_s > DAY_S):
            LOG.info('%s was not used for %.0f days and is removed', folder, age_s / DAY_S)
            shutil.rmtree(folder, ignore_errors=True)
            total -= size


@contextlib.contextmanager
def _unfinished(folder: Path) -> Iterator[Path]:
    """Yield a folder to fill, beside where it goes if that can be; none is left afterwards.

    It is locked, so that others see whether the process that fills it still lives.
    """
    prefix = f'{folder.name}.'
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        sweep(folder.parent, now_s=time.time())
        path = Path(tempfile.mkdtemp(UNFINISHED, prefix, folder.parent))
    except OSError as error:
        LOG.warning(
            '%s cannot be written, so this is done at every start: %s', folder.parent, error
        )
        path = Path(tempfile.mkdtemp(UNFINISHED, prefix))
    lock = os.open(path, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # file systems without locks
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def _put(unfinished: Path, folder: Path) -> None:
    """Give a finished entry its name, in the place of one that could not be read."""
    with contextlib.suppress(OSError):  # another process was faster
        if folder.is_dir():
            old = Path(tempfile.mkdtemp(UNFINISHED, f'{folder.name}.', folder.parent))
            folder.rename(old / folder.name)
            shutil.rmtree(old, ignore_errors=True)
        unfinished.rename(folder)


def _remove_if_left(folder: Path) -> None:
    """Remove a folder that no process has locked."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)
