"""bench: measure crops, network and decoding on this machine, and compare with a peer."""

import argparse
import importlib.util
import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import cv2
import torch

from vitpose_ros.core.backends import BackendError, processor
from vitpose_ros.core.checkpoints import CheckpointError
from vitpose_ros.core.export import CACHE_VARIABLE, ExportError
from vitpose_ros.core.vit import SIZES
from vitpose_ros.tools.bench import resources, sections, subjects
from vitpose_ros.tools.bench.sections import Options
from vitpose_ros.tools.bench.tables import Table

SECTIONS = (
    'crop', 'decode', 'network', 'end-to-end', 'people', 'experts', 'accuracy', 'start-up',
    'memory', 'shared-cores', 'ros',
)  # fmt: skip


def main(arguments: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = _parser(prog)
    chosen = parser.parse_args(arguments)
    tables: list[Table] = []
    try:
        with _cache():
            for table in _tables(chosen):
                print(f'\n{table}', flush=True)
                tables.append(table)
    except (BackendError, CheckpointError, ExportError, ImportError) as error:
        print(f'{parser.prog}: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f'{parser.prog}: interrupted', file=sys.stderr)
        return 130
    if chosen.json is not None:
        results = {'about': _about(chosen), 'tables': [table.as_dict() for table in tables]}
        chosen.json.write_text(json.dumps(results, indent=1) + '\n')
    return 0


def _parser(prog: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=prog, description=__doc__.partition(': ')[2])
    parser.add_argument(
        '--models',
        type=_names,
        default=['small'],
        metavar='MODELS',
        help=f'sizes, with random weights ({", ".join(SIZES)}), known names or files; small',
    )
    parser.add_argument(
        '--sections',
        type=_names,
        default=[name for name in SECTIONS if name != 'ros'],
        metavar='SECTIONS',
        help=f'what to measure; all but ros ({", ".join(SECTIONS)})',
    )
    parser.add_argument('--ros', action='store_true', help='also pose_node, over DDS')
    parser.add_argument(
        '--compare', choices=['transformers'], help='a peer, in the same process, by turns'
    )
    parser.add_argument(
        '--backends', type=_names, default=[], help='torch,openvino,onnx; what is installed'
    )
    parser.add_argument(
        '--precisions', type=_names, default=['float32', 'auto'], help='float32,auto; also int8'
    )
    parser.add_argument('--device', default='auto', help='auto, cpu, cuda, cuda:N or intel_gpu')
    parser.add_argument('--threads', type=int, default=0, help='0: all cores but one')
    parser.add_argument('--batches', type=_numbers, default=[1, 4, 8], help='1,4,8')
    parser.add_argument('--people', type=_numbers, default=[1, 2, 4, 8, 16, 32], help='1,2,4...')
    parser.add_argument('--rounds', type=int, default=11, help='of each measurement; 11')
    parser.add_argument('--frames', type=int, default=10000, help='of the memory test; 10000')
    parser.add_argument('--json', type=Path, metavar='FILE', help='also write the results there')
    return parser


@contextmanager
def _cache() -> Iterator[None]:
    """Let backends keep graphs in a folder of this run alone: most weights here are random."""
    before = os.environ.get(CACHE_VARIABLE)
    with tempfile.TemporaryDirectory() as folder:
        os.environ[CACHE_VARIABLE] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ[CACHE_VARIABLE]
            else:
                os.environ[CACHE_VARIABLE] = before


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(',') if name.strip()]


def _numbers(text: str) -> list[int]:
    return [int(number) for number in _names(text)]


def _tables(chosen: argparse.Namespace) -> Iterator[Table]:
    """Measure, section by section."""
    wanted = [*chosen.sections, *(['ros'] if chosen.ros else [])]
    unknown = [name for name in wanted if name not in SECTIONS]
    if unknown:
        raise BackendError(f"section '{unknown[0]}' is not known; give {', '.join(SECTIONS)}")
    peer = None
    if chosen.compare:
        if importlib.util.find_spec(chosen.compare) is None:
            raise BackendError(
                f'{chosen.compare} is not installed: pip install {chosen.compare} pillow scipy'
            )
        peer = importlib.import_module(f'vitpose_ros.tools.bench.{chosen.compare}_peer')
    threads = chosen.threads or processor.default_threads()
    torch.set_num_threads(threads)  # the peer's, too
    options = Options(
        chosen.device,
        threads,
        chosen.rounds,
        chosen.backends,
        chosen.precisions,
        chosen.batches,
        chosen.people,
        peer,
    )
    print(', '.join(f'{name} {value}' for name, value in _about(chosen).items()))
    if 'crop' in wanted:
        yield sections.crops(options)
        if torch.cuda.is_available() and chosen.device != 'cpu':
            yield sections.crops_on_gpu(options)
    if 'decode' in wanted:
        yield sections.decoding(options)
    for name in chosen.models:
        with ExitStack() as stack:
            compared: Any = None
            weights: Path | str = name
            if name in SIZES and name != 'nano' and peer is not None:
                compared = peer.Peer(name)
                weights = stack.enter_context(compared.weights())
            elif name in SIZES and name != 'nano':
                weights = stack.enter_context(subjects.random_weights(name))
            if 'network' in wanted:
                yield sections.network(options, name, weights, compared)
            if 'end-to-end' in wanted:
                yield sections.end_to_end(options, name, weights, compared)
            if name != chosen.models[0]:
                continue
            if 'people' in wanted:
                yield sections.people(options, name, weights)
            if 'start-up' in wanted:
                yield resources.startup(options, name, weights)
            if 'shared-cores' in wanted:
                yield resources.shared_cores(options, name, weights)
    if 'experts' in wanted and chosen.models[0] in SIZES:
        with subjects.random_weights(chosen.models[0]) as weights:
            yield sections.experts(options, chosen.models[0], weights)
    if 'accuracy' in wanted:
        yield sections.accuracy(options)
    if 'memory' in wanted:
        yield resources.growth(options, chosen.frames)
    if 'ros' in wanted:
        over_dds = importlib.import_module('vitpose_ros.tools.bench.over_dds')
        yield over_dds.latency(options, 'nano')


def _about(chosen: argparse.Namespace) -> dict[str, str | int]:
    """Return what the figures belong to."""
    about: dict[str, str | int] = {
        'date': date.today().isoformat(),
        'processor': processor.name(),
        'cores': len(os.sched_getaffinity(0)),
        'threads': chosen.threads or processor.default_threads(),
        'python': platform.python_version(),
        'torch': torch.__version__,
        'opencv': cv2.__version__,
    }
    for module in ('openvino', 'onnxruntime', *filter(None, [chosen.compare])):
        try:
            about[module] = importlib.import_module(module).__version__.split('-')[0]
        except ImportError:
            continue
    if torch.cuda.is_available():
        about['gpu'] = torch.cuda.get_device_name()
    return about
