"""ViTPose++ for ROS 2: keypoints of people and animals from images and detections."""

import sys
from pathlib import Path

__version__ = '0.1.0'


def _with_messages(own: list[str]) -> list[str]:
    """Return where the modules of this package are: beside this file, and the messages.

    The generated messages (vitpose_ros.msg) lie beside an installed copy. Where the modules come
    from a source checkout, the first such copy gives the messages. An installed one has its own,
    and needs no other, which may be older.
    """
    if any((Path(folder) / 'msg' / '__init__.py').is_file() for folder in own):
        return own
    for entry in sys.path:
        folder = Path(entry) / __name__
        if (folder / 'msg' / '__init__.py').is_file():
            return [*own, str(folder)]
    return own


__path__ = _with_messages(list(__path__))
