"""What is in an ONNX file that export.write_onnx made."""

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_args

from vitpose_ros.core.model.vit import ViTPoseConfig
from vitpose_ros.core.runtime import providers
from vitpose_ros.core.runtime.export import CONFIG_KEY, INPUT, OUTPUT, PRECISION
from vitpose_ros.core.skeletons import SKELETONS
from vitpose_ros.core.types import Precision
from vitpose_ros.core.weights import CheckpointError, models_command
from vitpose_ros.core.weights.files import shorten

ANEW = f'export the network anew: {models_command("export", "IN", "OUT")}'


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
    if not path.is_file():
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
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            f"'{path}': its metadata '{CONFIG_KEY}' is damaged, or of another version "
            f'({type(error).__name__}: {shorten(str(error))}); {ANEW}'
        ) from error
    _check_graph(found, session)
    return found


def _read(path: Path, text: str) -> OnnxFile:
    """Read the metadata; raises nearly anything where it is damaged."""
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in json.loads(text).items()
    }
    precision: Precision = values.pop(PRECISION)
    if precision not in get_args(Precision):
        raise ValueError(f'precision {precision!r}')
    if unknown := values.keys() - {field.name for field in fields(ViTPoseConfig)}:
        raise ValueError(f'{min(unknown)} is not known')
    config = ViTPoseConfig(**values)
    [(name, count)] = config.num_keypoints.items()
    if name not in SKELETONS or count != len(SKELETONS[name]):
        raise ValueError(f"keypoint set '{name}' of {count} keypoints")
    return OnnxFile(path, config, precision)


def _check_graph(file: OnnxFile, session: Any) -> None:
    """Refuse a file whose graph is not what its metadata says."""
    [keypoints] = file.config.num_keypoints.values()
    for kind, nodes, name, numbers, shape in (
        ('input', session.get_inputs(), INPUT, 'uint8', (*file.config.image_size, 3)),
        ('output', session.get_outputs(), OUTPUT, 'float', (keypoints, *file.config.heatmap_size)),
    ):
        found = [(node.name, node.type, tuple(node.shape[1:])) for node in nodes]
        if found != [(name, f'tensor({numbers})', shape)]:
            raise CheckpointError(
                f"'{file.path}': its {kind} is {shorten(str(found))}, expected {name} of "
                f'{numbers} (n, {", ".join(map(str, shape))}) by its metadata; {ANEW}'
            )
