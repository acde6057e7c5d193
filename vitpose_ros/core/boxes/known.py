"""The detectors that are known by name, and where they lie on this machine."""

import difflib
import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from vitpose_ros.core.boxes.detector import FILES, Detector, DetectorError
from vitpose_ros.core.errors import shorten
from vitpose_ros.core.runtime import Backend, ExportError
from vitpose_ros.core.weights import models_command, models_directory


@dataclass(frozen=True)
class KnownDetector:
    """A detector with a name, of COCO's 80 classes."""

    name: str
    megabytes: int
    repository: str  # on huggingface.co
    licence: str = 'Apache-2.0'
    revision: str = 'main'  # no commit is known: what is fetched first is pinned on this machine

    @property
    def source(self) -> str:
        """Where it comes from, for people."""
        return f'huggingface.co/{self.repository}'

    @property
    def folder(self) -> Path:
        """Where it lies, or would lie."""
        return models_directory() / self.name

    @property
    def is_here(self) -> bool:
        """Whether all of it is on this machine."""
        return all((self.folder / name).is_file() for name in FILES)


LOG = logging.getLogger(__name__)

_TABLE = (
    KnownDetector('dfine-nano', 15, 'ustc-community/dfine-nano-coco'),
    KnownDetector('dfine-small', 42, 'ustc-community/dfine-small-coco'),
    KnownDetector('rtdetr-v2-r18', 81, 'PekingU/rtdetr_v2_r18vd'),
    KnownDetector('rtdetr-v2-r34', 126, 'PekingU/rtdetr_v2_r34vd'),
    KnownDetector('rtdetr-v2-r50', 172, 'PekingU/rtdetr_v2_r50vd'),
)
KNOWN_DETECTORS: dict[str, KnownDetector] = {entry.name: entry for entry in _TABLE}


def find_detector(detector: str | Path) -> Path:
    """Return the directory of a detector: a known name, or a directory.

    Downloads nothing. Raises DetectorError with the command that gets what is absent.
    """
    known = KNOWN_DETECTORS.get(str(detector))
    if known is not None:
        if known.is_here:
            return known.folder
        raise DetectorError(
            f"detector '{known.name}' is not on this machine ({known.folder} lacks files). To "
            f'fetch it, {known.megabytes} MB: {models_command("fetch", known.name)}'
        )
    path = Path(detector).expanduser()
    if path.is_dir() or len(path.parts) > 1:
        return path
    close = difflib.get_close_matches(str(detector), KNOWN_DETECTORS, n=1, cutoff=0.5)
    raise DetectorError(
        f"detector '{shorten(str(detector))}' is neither a known name nor a directory"
        + (f"; did you mean '{close[0]}'?" if close else '.')
        + f' For the known names: {models_command("list")}'
    )


def load_detector(detector: str | Path, backend: Backend) -> Detector:
    """Load a known detector, or one of a directory, to run as a network does.

    In PyTorch on CUDA, and where it cannot be had as a graph, which is logged. Raises the errors
    of find_detector and Detector.load.
    """
    folder = find_detector(detector)
    runtime = 'torch' if backend.device.type == 'cuda' else backend.runtime
    load = partial(
        Detector.load,
        folder,
        'cpu' if runtime == 'onnx' else backend.place,
        precision=backend.precision,
        threads=backend.threads,
    )
    try:
        return load(runtime=runtime)
    except ExportError as error:
        LOG.warning('%s; it runs in PyTorch', error)
        return load()
