"""Weights from the Hugging Face hub to this machine: pinned, resumed, checked.

Only this module ever downloads, and only when somebody asks it to.
"""

import fcntl
import hashlib
import re
import shutil
from pathlib import Path

from vitpose_ros.core.errors import VitposeError
from vitpose_ros.core.weights import KnownModel, path_of
from vitpose_ros.core.weights.known import DIRECTORY_VARIABLE

SHA256 = re.compile(r'[0-9a-f]{64}')
CHUNK = 1 << 20  # bytes


class FetchError(VitposeError, RuntimeError):
    """Weights could not be fetched; says why, and what to do."""


def is_there(model: KnownModel) -> bool:
    """Tell whether the weights of a known model are on this machine.

    A file comes to its place only after its checksum was right, so that its presence is enough.
    """
    return path_of(model).is_file()


def fetch(model: KnownModel) -> Path:
    """Download the weights of a known model; show the progress on stderr.

    What an interrupted download brought is kept, and the next one goes on from there. Raises
    FetchError.
    """
    path = path_of(model)
    assert model.repository is not None, 'nothing to fetch'
    try:
        from huggingface_hub import get_hf_file_metadata, hf_hub_url
        from huggingface_hub.file_download import http_get
    except ImportError as error:
        raise FetchError(
            "fetching needs huggingface_hub: pip install 'huggingface_hub>=0.30'"
        ) from error

    url = hf_hub_url(model.repository, model.filename, revision=model.revision)
    partial = path.with_name(f'{path.name}.{model.revision[:8]}.partial')
    try:
        about = get_hf_file_metadata(url, library_name='vitpose_ros')
        checksum = _checksum(model, url, about.etag)
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open('ab') as file:
            _lock(file.fileno(), partial)
            done = file.tell()
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
        found = sha256_of(partial)
        if found != checksum:
            partial.unlink()
            raise FetchError(
                f'{url}: what came has the checksum (sha256) {found}, expected {checksum}; it was '
                'removed. Fetch it again; if that does not help, something between here and the '
                'hub changes files'
            )
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


def _checksum(model: KnownModel, url: str, etag: str | None) -> str:
    """Return the checksum to expect: the known one, else what the hub states for the commit."""
    stated = etag if etag and SHA256.fullmatch(etag) else ''
    if not (model.sha256 or stated):
        raise FetchError(f'{url}: the hub states no checksum (sha256), it says {etag!r}')
    if model.sha256 and stated and model.sha256 != stated:
        raise FetchError(
            f'{url}: the hub has a file with the checksum (sha256) {stated}, expected '
            f'{model.sha256}; it is not the one that is known, nothing was fetched'
        )
    return model.sha256 or stated


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
