"""TensorRT below ONNX Runtime: its libraries, and where the engines of a file lie.

ONNX Runtime's provider links one major version of TensorRT, and finds it where the system or a
process that has it loaded does. TensorRT from pip lies elsewhere, so it is loaded here before.
"""

import ctypes
import hashlib
import importlib.util
import logging
import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitpose_ros.core.runtime import cache, nvidia
from vitpose_ros.core.runtime.export import INPUT
from vitpose_ros.core.types import Precision

LOG = logging.getLogger(__name__)

PIP_MODULE = 'tensorrt_libs'
LIBRARIES = ('libnvinfer', 'libnvonnxparser')  # of TensorRT, the second needs the first
PIECE = 1 << 24  # bytes that are read at once
# Where a tensor of an ONNX file lies outside of it: a StringStringEntryProto with this key.
LOCATION = re.compile(rb'\n\x08location\x12(.)', re.DOTALL)


@dataclass(frozen=True)
class TensorRt:
    """What there is of TensorRT for a provider."""

    version: str = ''  # '' where it cannot be loaded
    remedy: str = ''  # then


def load(provider: Path) -> TensorRt:
    """Load the TensorRT that a provider's library links, from the system or from pip.

    provider: libonnxruntime_providers_tensorrt.so, whose needed libraries name the version.
    """
    try:
        content = provider.read_bytes()
    except OSError:
        return TensorRt(remedy='pip install onnxruntime-gpu, which has its provider')
    needed = dict(re.findall(rb'(lib(?:nvinfer|nvonnxparser|cudart))\.so\.(\d+)', content))
    versions = {name.decode(): version.decode() for name, version in needed.items()}
    major, cuda = versions.get('libnvinfer', ''), versions.get('libcudart', '')
    package = f'tensorrt-cu{cuda}' if cuda else 'tensorrt'
    linked = [f'{name}.so.{versions[name]}' for name in LIBRARIES if name in versions]
    loaded = [_load_library(name) for name in linked]
    if not major or None in loaded:
        return TensorRt(remedy=f'pip install "{package}=={major}.*"')
    return TensorRt(str(loaded[0].getInferLibVersion()))


def _load_library(name: str) -> Any:
    """Return a library, from where the system or pip has it; None where neither does."""
    for place in ('', *_pip_folders()):
        try:
            # For all that come after, by its name: so the provider finds it.
            return ctypes.CDLL(f'{place}{name}', mode=ctypes.RTLD_GLOBAL)
        except OSError:
            continue
    return None


def _pip_folders() -> Iterator[str]:
    spec = importlib.util.find_spec(PIP_MODULE)
    for folder in (spec and spec.submodule_search_locations) or ():
        yield f'{folder}/'


def engine_folder(file: Path, version: str, index: int, max_batch: int) -> Path:
    """Return where the engines of a file lie: by GPU, TensorRT, network and batch.

    Reads the whole file, and the weights that lie beside it.
    """
    gpu = re.sub(r'\W+', '-', nvidia.ask_driver().names[index])
    name = f'tensorrt-{version}-{gpu}-{digest(file)}-{max_batch}'
    return cache.cache_directory() / name


def options(
    folder: Path,
    precision: Precision,
    image_size: tuple[int, int],
    max_batch: int,
    keypoint_set: str,
) -> dict[str, str]:
    """Return the options of ONNX Runtime's provider, but for the device.

    folder: of the engine, which is made; image_size: height and width of crops. Logs
    where the engine has to be built.
    """
    folder.mkdir(parents=True, exist_ok=True)
    cache.mark(folder)
    if not has_engine(folder):
        LOG.info('building the TensorRT engine of %s; once for this GPU, minutes', keypoint_set)
    height, width = image_size

    def shape(count: int) -> str:
        return f'{INPUT}:{count}x{height}x{width}x3'

    return {
        'trt_fp16_enable': str(precision != 'float32'),
        'trt_int8_enable': str(precision == 'int8'),
        'trt_engine_cache_enable': 'True',
        'trt_engine_cache_path': str(folder),
        'trt_timing_cache_enable': 'True',
        'trt_timing_cache_path': str(folder),
        'trt_profile_min_shapes': shape(1),
        'trt_profile_opt_shapes': shape(min(8, max_batch)),
        'trt_profile_max_shapes': shape(max_batch),
    }


def has_engine(folder: Path) -> bool:
    """Tell whether an engine was finished in a folder."""
    return any(folder.glob('*.engine'))


def digest(file: Path) -> str:
    """Return what tells the network in an ONNX file from all others: a hash of all its bytes.

    Those of weights beside it, too, which large networks have.
    """
    found = hashlib.sha256()
    for path in (file, *external_files(file)):
        with path.open('rb') as stream:
            while piece := stream.read(PIECE):
                found.update(piece)
    return found.hexdigest()[:16]


def external_files(file: Path) -> list[Path]:
    """Return the files beside an ONNX file in which it says that its weights lie, sorted."""
    with file.open('rb') as stream:
        content = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    with content:
        names = {
            content[match.end() : match.end() + match[1][0]]  # up to 127 bytes
            for match in LOCATION.finditer(content)
        }
    paths = (file.parent / name.decode(errors='replace') for name in names)
    return sorted(path for path in paths if path.is_file())
