"""Weight files to tensors, and back: what is safe to read, and what a file is when it is not."""

import contextlib
import logging
import pickle
import re
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vitpose_ros.core.errors import VitposeError, shorten

LOG = logging.getLogger(__name__)

State = dict[str, Tensor]

# Files of a Hugging Face directory that may hold all weights.
DIRECTORY_FILES = ('model.safetensors', 'pytorch_model.bin')
# Where training code puts the tensors within what it saves.
STATE_KEYS = ('state_dict', 'model', 'module')
WRAPPER_PREFIXES = ('module.', '_orig_mod.')  # of DistributedDataParallel and torch.compile
# Number types that weights come in.
NUMBERS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
# What a number of NumPy, often the best score of a training, is made of in a pickle.
SCALAR_GLOBALS = (
    'numpy.dtype',
    'numpy._core.multiarray.scalar',
    'numpy.core.multiarray.scalar',  # before NumPy 2
)

# First bytes of what people pass by mistake.
FOREIGN_FILES = (
    (b'version https://git-lfs', 'a Git LFS pointer, not the weights; run git lfs pull'),
    (b'<', 'a web page, not weights; the download failed, fetch it again'),
    (b'{', 'text (JSON); give the weights that it belongs to'),
    (b'\x89HDF', 'an HDF5 file; only safetensors and PyTorch files are read'),
    (b'\x08', 'probably an ONNX file; give the PyTorch or safetensors weights'),
)


class CheckpointError(VitposeError, ValueError):
    """A weight file is absent, damaged, or of another network."""


@dataclass(frozen=True)
class WeightFile:
    """The content of a file of weights."""

    path: Path
    metadata: dict[str, str]  # of a safetensors file; empty otherwise
    state: State


def locate(path: Path) -> Path:
    """Return the file of weights: the path itself, or the one in a Hugging Face directory."""
    if path.is_dir():
        for name in DIRECTORY_FILES:
            if (path / name).is_file():
                return path / name
        if (path / f'{DIRECTORY_FILES[0]}.index.json').is_file():
            raise CheckpointError(
                f"weights '{path}': they are split over several files, which is not supported; "
                'save them as one (max_shard_size in save_pretrained)'
            )
        raise CheckpointError(
            f"weights '{path}': the directory holds none of {', '.join(DIRECTORY_FILES)}; "
            'give the file itself'
        )
    if not path.is_file():
        raise CheckpointError(f"weights '{path}': no such file")
    return path


def read(path: Path) -> WeightFile:
    """Read a safetensors or PyTorch file, told apart by content.

    Nothing in the file is executed. Raises CheckpointError, which names the file, what is wrong
    with it, and the remedy.
    """
    try:
        with path.open('rb') as file:
            head = file.read(64)
    except OSError as error:
        raise CheckpointError(f"weights '{path}': not readable ({error})") from error
    if not head:
        raise CheckpointError(f"weights '{path}': the file is empty; fetch it again")
    if head[8:9] == b'{':  # after the length of the header
        return _read_safetensors(path)
    if head.startswith((b'PK', b'\x80')):
        return WeightFile(path, {}, _tensors(path, _load_pickle(path)))
    kind = next(
        (words for start, words in FOREIGN_FILES if head.lstrip().startswith(start)),
        'neither a safetensors nor a PyTorch file; it may be truncated or of another format: '
        'fetch or convert it again',
    )
    raise CheckpointError(f"weights '{path}': {kind}")


def write(path: Path, state: State, metadata: dict[str, str]) -> None:
    """Write a safetensors file."""
    try:
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, path, metadata)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"weights '{path}': cannot be written ({error})") from error


def check_tensor(path: Path, name: str, tensor: Tensor) -> None:
    """Refuse a tensor that is not plain numbers in memory; name: what the file calls it.

    What a file says of a tensor need not be true of its bytes: it may have none (meta), or claim
    more elements than there are.
    """
    if tensor.dtype not in NUMBERS:
        known = ', '.join(str(number).removeprefix('torch.') for number in NUMBERS)
        fault = (
            f'holds {tensor.dtype}, expected floating point ({known}); quantised files are not '
            'supported, give the weights that this file was made from'
        )
    elif tensor.layout != torch.strided or tensor.is_nested:
        fault = 'is sparse or nested, expected plain numbers; save its to_dense()'
    elif tensor.is_meta:
        fault = 'has a shape but no numbers (device meta); save the network once it has weights'
    elif tensor.numel() * tensor.itemsize > tensor.untyped_storage().nbytes():
        fault = (
            f'claims {tensor.numel()} elements, the file has '
            f'{tensor.untyped_storage().nbytes() // tensor.itemsize}; save its contiguous()'
        )
    else:
        return
    raise CheckpointError(f"weights '{path}': tensor '{shorten(name)}' {fault}")


def _read_safetensors(path: Path) -> WeightFile:
    try:
        with safe_open(path, framework='pt') as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except Exception as error:  # those of the library, and of number types that PyTorch lacks
        raise CheckpointError(
            f"weights '{path}': not a readable safetensors file ({shorten(str(error))}); it may "
            'be truncated: fetch or convert it again'
        ) from error
    return WeightFile(path, metadata, state)


def _check_archive(path: Path) -> None:
    """Refuse a zip archive that PyTorch did not write so: compressed, or with damaged entries.

    PyTorch stores entries as they are, with checksums, which it never looks at.
    """
    remedy = 'fetch it again, or save it anew with torch.save'
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            root = entries[0].filename.partition('/')[0] if entries else ''
            if f'{root}/constants.pkl' in archive.namelist():
                return  # TorchScript, which torch.load refuses
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                fault = 'its archive is compressed, which PyTorch never does'
            elif sum(entry.file_size for entry in entries) > path.stat().st_size:
                fault = 'its archive claims to hold more than its own size'
            elif damaged := archive.testzip():
                fault = f"damaged, the checksum of its part '{shorten(damaged)}' is wrong"
            else:
                return
    except (OSError, ValueError, RuntimeError, NotImplementedError, zipfile.BadZipFile) as error:
        fault = f'not a readable PyTorch file ({shorten(str(error))})'
    raise CheckpointError(f"weights '{path}': {fault}; {remedy}")


def _begins_like_archive(path: Path) -> bool:
    with path.open('rb') as file:
        return file.read(4) == b'PK\x03\x04'


class _Ignored:
    """Stands for a number of NumPy, or its type, which nobody needs."""

    def __init__(self, *_: object) -> None:
        """Take what NumPy would get."""

    def __setstate__(self, state: object) -> None:
        """Take what NumPy would get."""


def _stand_in(name: str) -> type[_Ignored]:
    """Return a class that PyTorch takes for a global of a pickle."""
    module, _, short = name.rpartition('.')
    names = {'__module__': module, '__qualname__': short}
    return type(short, (_Ignored,), names)


SCALARS = [_stand_in(name) for name in SCALAR_GLOBALS]
_allowing = threading.Lock()  # what PyTorch allows is one list for the process


@contextlib.contextmanager
def _scalars_allowed() -> Iterator[None]:
    """Let PyTorch read over numbers of NumPy; nothing of NumPy is called."""
    allow = getattr(torch.serialization, 'safe_globals', None)  # of PyTorch 2.5 and newer
    with _allowing, allow(SCALARS) if allow else contextlib.nullcontext():
        yield


def _load_pickle(path: Path) -> object:
    """Load a PyTorch file without ever executing what is in it."""
    archive = zipfile.is_zipfile(path)
    if archive:
        _check_archive(path)
    elif _begins_like_archive(path):
        raise CheckpointError(f"weights '{path}': truncated, its end is missing; fetch it again")
    else:
        LOG.warning(
            "weights '%s' are as PyTorch wrote them before 1.6, without checksums: numbers that "
            'were damaged on the way look like others; compare its sha256 with the source, or '
            'save it anew there with torch.save',
            path,
        )
    try:
        with _scalars_allowed():
            return torch.load(path, map_location='cpu', weights_only=True, mmap=archive)
    except pickle.UnpicklingError as error:
        reason = str(error)
        if found := re.search(r'GLOBAL \S+|Unsupported \w+ \w+', reason):
            raise CheckpointError(
                f"weights '{path}': refused, it holds more than tensors and plain values "
                f'({found[0].rstrip(".")}), and loading that could execute code; if you trust '
                'the file, load it where it was made and save its state_dict alone'
            ) from error
        raise CheckpointError(
            f"weights '{path}': not a readable PyTorch file "
            f'({shorten(reason.splitlines()[-1].strip())}); it may be damaged: fetch it again'
        ) from error
    except Exception as error:  # torch.load raises nearly everything for damaged files
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        remedy = (
            'save its state_dict instead'
            if 'TorchScript' in str(error)
            else 'it may be truncated or damaged: fetch it again'
        )
        raise CheckpointError(
            f"weights '{path}': not a readable PyTorch file ({shorten(reason)}); {remedy}"
        ) from error


def _tensors(path: Path, content: object) -> State:
    """Return the tensors of what a PyTorch file holds, without the names of wrappers."""
    if isinstance(content, dict):
        for key in STATE_KEYS:
            if isinstance(content.get(key), dict):
                content = content[key]
                break
    if not isinstance(content, dict):
        raise CheckpointError(
            f"weights '{path}': it holds a {type(content).__name__}, expected a dictionary of "
            'tensors; save the state_dict of the network'
        )
    state: State = {}
    for name, tensor in content.items():
        if isinstance(name, str) and isinstance(tensor, Tensor):
            for prefix in WRAPPER_PREFIXES:
                name = name.removeprefix(prefix)
            state[name] = tensor
    return state
