"""Weights from the Hugging Face hub to this machine: pinned, resumed, checked.

Only this module ever downloads, and only when somebody asks it to.
"""

import fcntl
import hashlib
import re
import shutil
from pathlib import Path

from vitpose_ros.core.weights import KnownModel, models_directory, path_of
from vitpose_ros.core.weights.known import DIRECTORY_VARIABLE
from vitpose_ros.tools.command import ToolError

SHA256 = re.compile(r'[0-9a-f]{64}')
CHUNK = 1 << 20  # bytes


class FetchError(ToolError):
    """Weights could not be fetched; says why, and what to do."""


def is_there(model: KnownModel) -> bool:
    """Tell whether the weights of a known model are on this machine.

    A file comes to its place only after its checksum was right, so that its presence is enough.
    """
    return path_of(model).is_file()


def pin_of(model: KnownModel) -> Path:
    """Return the file that keeps the checksum of what was first fetched of a model, or would.

    For models whose checksum is not in the table: later fetches have to bring the same.
    """
    return models_directory() / 'pins' / f'{model.name}.sha256'


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
        found = sha256_of(partial)
        if found != checksum:
            partial.unlink()
            raise FetchError(
                f'{url}: what came has the checksum (sha256) {found}, expected {checksum}; it was '
                'removed. Fetch it again; if that does not help, something between here and the '
                'hub changes files'
            )
        if not model.sha256:
            pin_of(model).parent.mkdir(exist_ok=True)
            pin_of(model).write_text(f'{found}\n')
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
    """Return the checksum to expect: the known one, else the pinned, else what the hub states."""
    stated = etag if etag and SHA256.fullmatch(etag) else ''
    known, whence = model.sha256, 'it is not the one that is known'
    if not known and pin_of(model).is_file():
        known = pin_of(model).read_text().strip()
        whence = f'what was fetched here before had that; if this is meant, remove {pin_of(model)}'
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
