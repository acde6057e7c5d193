"""Paths that users give."""

from pathlib import Path


def is_file(path: Path) -> bool:
    """Tell whether there is such a file; there is none of a name that is too long for one."""
    try:
        return path.is_file()
    except OSError:
        return False
