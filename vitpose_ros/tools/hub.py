"""Weights from the Hugging Face hub to this machine: pinned, resumed, checked.

Only this module ever downloads, and only when somebody asks it to.
"""

import fcntl
import hashlib
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from vitpose_ros.core.boxes.detector import FILES
from vitpose_ros.core.boxes.known import KnownDetector
from vitpose_ros.core.weights import KnownModel, models_directory, path_of
from vitpose_ros.core.weights.known import DIRECTORY_VARIABLE
from vitpose_ros.tools.command import ToolError

SHA256 = re.compile(r'[0-9a-f]{64}')
OF_GIT = 40  # digits of git's hash
GIT_HASH = re.compile(rf'[0-9a-f]{{{OF_GIT}}}')
CHUNK = 1 << 20  # bytes


class FetchError(ToolError):
    """Weights could not be fetched; says why, and what to do."""


@dataclass(frozen=True)
class Download:
    """A file of the hub, and where it goes."""

    repository: str
    revision: str
    filename: str  # in the repository
    path: Path
    pin: Path  # keeps the checksum of what was first fetched, where none is known
    sha256: str = ''  # empty: not known


def is_there(model: KnownModel) -> bool:
    """Tell whether the weights of a known model are on this machine.

    A file comes to its place only after its checksum was right, so that its presence is enough.
    """
    return path_of(model).is_file()


def pin_of(model: KnownModel) -> Path:
    """Return the file that keeps the checksum of what was first fetched of a model, or would.

    For models whose checksum is not in the table: later fetches have to bring the same.
    """
    return _pin(model.name)


def _pin(name: str) -> Path:
    return models_directory() / 'pins' / f'{name}.sha256'


def fetch(model: KnownModel) -> Path:
    """Download the weights of a known model; show the progress on stderr.

    What an interrupted download brought is kept, and the next one goes on from there. Raises
    FetchError.
    """
    assert model.repository is not None, 'nothing to fetch'
    place = model.repository, model.revision, model.filename
    return download(Download(*place, path_of(model), pin_of(model), model.sha256))


def fetch_detector(detector: KnownDetector) -> dict[str, str]:
    """Download the files of a known detector, as fetch does; return the checksum of each."""
    checksums = {}
    for name in FILES:
        pin = _pin(f'{detector.name}.{name}')
        if not (detector.folder / name).is_file():
            place = detector.repository, detector.revision, name
            download(Download(*place, detector.folder / name, pin))
        checksums[name] = pin.read_text().strip() if pin.is_file() else 'not known'
    return checksums


def download(wanted: Download) -> Path:
    """Download a file, and check it; see fetch. Raises FetchError."""
    path = wanted.path
    try:
        from huggingface_hub import get_hf_file_metadata, hf_hub_url
        from huggingface_hub.file_download import http_get
    except ImportError as error:
        raise FetchError(
            "fetching needs huggingface_hub: pip install 'huggingface_hub>=0.30'"
        ) from error

    url = hf_hub_url(wanted.repository, wanted.filename, revision=wanted.revision)
    partial = path.with_name(f'{path.name}.{wanted.revision[:8]}.partial')
    try:
        about = get_hf_file_metadata(url, library_name='vitpose_ros')
        checksum = _checksum(wanted, url, about.etag)
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open('ab') as file:
            _lock(file.fileno(), partial)
            done = file.tell()
            if about.size is not None and done > about.size:  # of a hub that sent too much
                file.truncate(0)
                done = file.seek(0)
            _check_room(path.parent, (about.size or 0) - done)
            http_get(
                about.location,
                file,
                resume_size=done,
                expected_size=about.size,
                # The size must be that of the file, or nothing can be resumed.
                headers={'Accept-Encoding': 'identity'},
                displayed_filename=path.name,
            )
        found, kind = sha256_of(partial), 'sha256'
        if len(checksum) == OF_GIT:
            given, kind = git_hash_of(partial), 'of git'
        else:
            given = found
        if given != checksum:
            partial.unlink()
            raise FetchError(
                f'{url}: what came has the checksum ({kind}) {given}, expected {checksum}; it was '
                'removed. Fetch it again; if that does not help, something between here and the '
                'hub changes files'
            )
        if not wanted.sha256:
            wanted.pin.parent.mkdir(exist_ok=True)
            wanted.pin.write_text(f'{found}\n')
        partial.replace(path)
    except FetchError:
        raise
    except Exception as error:  # those of the hub's client and of two HTTP libraries
        kept = f'; {partial.stat().st_size // 10**6} MB are kept' if partial.is_file() else ''
        raise FetchError(
            f'{url} cannot be fetched ({type(error).__name__}: {_first_line(error)}){kept}. Run '
            'the same command again where there is a connection (HF_ENDPOINT names a mirror), or '
            f'bring the file from another machine to {path}'
        ) from error
    return path


def sha256_of(path: Path) -> str:
    """Return the checksum of a file."""
    digest = hashlib.sha256()
    with path.open('rb') as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def git_hash_of(path: Path) -> str:
    """Return the hash that git gives a file, as the hub states it of small ones."""
    content = path.read_bytes()
    return hashlib.sha1(b'blob %d\0' % len(content) + content, usedforsecurity=False).hexdigest()


def _checksum(wanted: Download, url: str, etag: str | None) -> str:
    """Return the checksum to expect: the known one, else the pinned, else what the hub states.

    That is a sha256, or git's hash of a small file, which counts only where nothing else is known.
    """
    stated = etag if etag and SHA256.fullmatch(etag) else ''
    known, whence = wanted.sha256, 'it is not the one that is known'
    if not known and wanted.pin.is_file():
        known = wanted.pin.read_text().strip()
        whence = f'what was fetched here before had that; if this is meant, remove {wanted.pin}'
    if not (known or stated) and etag and GIT_HASH.fullmatch(etag):
        return etag
    if not (known or stated):
        raise FetchError(f'{url}: the hub states no checksum (sha256), it says {etag!r}')
    if known and stated and known != stated:
        raise FetchError(
            f'{url}: the hub has a file with the checksum (sha256) {stated}, expected {known}; '
            f'nothing was fetched: {whence}'
        )
    return known or stated


def _lock(descriptor: int, partial: Path) -> None:
    """Keep other processes from writing to the same file; the lock ends with the file."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise FetchError(f'another process is fetching {partial}; wait for it') from error


def _check_room(folder: Path, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if size > free:
        raise FetchError(
            f'{size // 10**6} MB are to come and {free // 10**6} MB are free in {folder}; make '
            f'room, or name another folder in {DIRECTORY_VARIABLE}'
        )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [''])[0]
