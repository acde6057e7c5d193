"""What is in an ONNX file that export.write_onnx made."""

import json
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, get_args

from vitpose_ros.core.errors import shorten
from vitpose_ros.core.model.config import PATCH_SIZE, AttentionKind, ViTPoseConfig
from vitpose_ros.core.paths import is_file
from vitpose_ros.core.runtime import providers
from vitpose_ros.core.runtime.export import CONFIG_KEY, INPUT, OUTPUT, PRECISION
from vitpose_ros.core.skeletons import SKELETONS
from vitpose_ros.core.types import Precision
from vitpose_ros.core.weights import CheckpointError, models_command

ANEW = f'export the network anew: {models_command("export", "IN", "OUT")}'
Check = tuple[Callable[[Any], bool], str]  # of a value from JSON; what is expected


def _whole(least: int, most: int) -> Check:
    return lambda v: type(v) is int and least <= v <= most, f'a whole number, {least} to {most}'


def _pair(least: int, most: int) -> Check:
    fits, expected = _whole(least, most)
    return (
        lambda v: isinstance(v, list) and len(v) == 2 and all(map(fits, v)),
        f'height and width, each {expected}',
    )


def _one_of(*values: str) -> Check:
    return lambda v: isinstance(v, str) and v in values, ' or '.join(values)


def _attention() -> Check:
    fits, expected = _one_of(*get_args(AttentionKind))
    return (
        lambda v: fits(v) or (isinstance(v, list) and all(map(fits, v))),
        f'{expected}, or a list of them, one for each block',
    )


def _list_of_sets(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


LARGEST = 2**16  # of any side or width, far beyond all networks
# What the metadata may hold: the precision, and each field of the configuration.
METADATA: dict[str, Check] = {
    PRECISION: _one_of(*get_args(Precision)),
    'embed_dim': _whole(1, LARGEST),
    'depth': _whole(1, 1024),
    'num_heads': _whole(1, LARGEST),
    'num_keypoints': (
        lambda v: repr(v) in [repr({name: len(own)}) for name, own in SKELETONS.items()],
        f'one of {", ".join(f"{name}: {len(own)}" for name, own in SKELETONS.items())}',
    ),
    'part_features': _whole(0, LARGEST),
    'mlp_ratio': _whole(1, LARGEST),
    'image_size': _pair(PATCH_SIZE, LARGEST),
    'decoder': _one_of('classic', 'simple'),
    'deconv_channels': _whole(1, LARGEST),
    'attention': _attention(),
    'window_size': _pair(1, LARGEST),
    'udp': (_list_of_sets, 'a list of keypoint sets'),
    'bottom_up': (lambda v: isinstance(v, bool), 'true or false'),
    'folded': (lambda v: isinstance(v, bool), 'true or false'),
}
# Those that have a default may be absent.
NEEDED = (PRECISION, *(f.name for f in fields(ViTPoseConfig) if f.default is MISSING))


@dataclass(frozen=True)
class OnnxFile:
    """A file of one keypoint set."""

    path: Path
    config: ViTPoseConfig
    precision: Precision


def read_onnx(path: Path) -> OnnxFile:
    """Read a file's configuration, and hold it against its graph.

    Raises CheckpointError for a file that models export did not write, BackendError where ONNX
    Runtime is missing.
    """
    if not is_file(path):
        raise CheckpointError(f"'{path}' is absent; models export writes such files")
    runtime = providers.runtime()
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = runtime.InferenceSession(str(path), options, providers=[providers.CPU])
    except Exception as error:
        raise CheckpointError(
            f"'{path}' is not a readable ONNX file ({shorten(str(error))}); {ANEW}"
        ) from error
    values = session.get_modelmeta().custom_metadata_map
    if CONFIG_KEY not in values:
        raise CheckpointError(f"'{path}' is an ONNX file of another program; {ANEW}")
    try:
        found = _read(path, values[CONFIG_KEY])
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"'{path}': its metadata '{CONFIG_KEY}' is damaged, or of another version "
            f'({shorten(str(error))}); {ANEW}'
        ) from error
    _check_graph(found, session)
    return found


def _read(path: Path, text: str) -> OnnxFile:
    """Read the metadata. Raises ValueError, naming the field that does not fit."""
    values = json.loads(text)
    if not isinstance(values, dict):
        raise ValueError(f'{shorten(text)} is no JSON object')
    if absent := [name for name in NEEDED if name not in values]:
        raise ValueError(f'{absent[0]} is missing')
    for name, value in values.items():
        if name not in METADATA:
            raise ValueError(f'{shorten(name)} is not known')
        fits, expected = METADATA[name]
        if not fits(value):
            raise ValueError(f'{name} is {shorten(repr(value))}, expected {expected}')
    values = {n: tuple(v) if isinstance(v, list) else v for n, v in values.items()}
    precision: Precision = values.pop(PRECISION)
    return OnnxFile(path, ViTPoseConfig(**values), precision)


def _check_graph(file: OnnxFile, session: Any) -> None:
    """Refuse a file whose graph is not what its metadata says."""
    [maps] = file.config.num_maps.values()
    for kind, nodes, name, numbers, shape in (
        ('input', session.get_inputs(), INPUT, 'uint8', (*file.config.image_size, 3)),
        ('output', session.get_outputs(), OUTPUT, 'float', (maps, *file.config.heatmap_size)),
    ):
        found = [(node.name, node.type, tuple(node.shape[1:])) for node in nodes]
        if found != [(name, f'tensor({numbers})', shape)]:
            raise CheckpointError(
                f"'{file.path}': its {kind} is {shorten(str(found))}, expected {name} of "
                f'{numbers} (n, {", ".join(map(str, shape))}) by its metadata; {ANEW}'
            )
