"""Weight files to tensors, and back: what is safe to read, and what a file is when it is not."""

import pickle
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vitpose_ros.core.errors import VitposeError

State = dict[str, Tensor]

# Files of a Hugging Face directory that may hold all weights.
DIRECTORY_FILES = ('model.safetensors', 'pytorch_model.bin')
# Where training code puts the tensors within what it saves.
STATE_KEYS = ('state_dict', 'model', 'module')
WRAPPER_PREFIXES = ('module.', '_orig_mod.')  # of DistributedDataParallel and torch.compile

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


def _read_safetensors(path: Path) -> WeightFile:
    try:
        with safe_open(path, framework='pt') as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"weights '{path}': not a readable safetensors file ({error}); it may be truncated: "
            'fetch or convert it again'
        ) from error
    return WeightFile(path, metadata, state)


def _load_pickle(path: Path) -> object:
    """Load a PyTorch file without ever executing what is in it."""
    try:
        return torch.load(
            path, map_location='cpu', weights_only=True, mmap=zipfile.is_zipfile(path)
        )
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
            f'({reason.splitlines()[-1].strip()}); it may be damaged: fetch it again'
        ) from error
    except Exception as error:  # torch.load raises nearly everything for damaged files
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        remedy = (
            'save its state_dict instead'
            if 'TorchScript' in str(error)
            else 'it may be truncated or damaged: fetch it again'
        )
        raise CheckpointError(
            f"weights '{path}': not a readable PyTorch file ({reason}); {remedy}"
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
