"""bench: measure crops, network and decoding on this machine, and compare with a peer."""

import argparse
import importlib.util
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, get_args

import torch

from vitpose_ros.core.model.config import SIZES
from vitpose_ros.core.runtime import BackendError, choose, processor
from vitpose_ros.core.runtime.cache import CACHE_VARIABLE
from vitpose_ros.core.runtime.options import MOST_THREADS
from vitpose_ros.core.types import Precision
from vitpose_ros.tools import command
from vitpose_ros.tools.bench import (
    ablation,
    accuracy,
    frames,
    machine,
    networks,
    on_gpu,
    product,
    resources,
    space,
    stages,
)
from vitpose_ros.tools.bench.options import DRY, PEER, BenchOptions, cuda_device, installed
from vitpose_ros.tools.bench.results import Results
from vitpose_ros.tools.bench.subjects import Model

SECTIONS = (
    'product', 'crop', 'decode', 'network', 'end-to-end', 'people', 'experts', 'accuracy',
    'space', 'start-up', 'memory', 'shared-cores', 'ablation', 'ros', 'images',
)  # fmt: skip
OVER_DDS = ('ros', 'images')
NOT_UNASKED = ('ablation', *OVER_DDS)


def main(arguments: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run the command line; return the exit code: 1 if anything could not be measured."""
    parser = _parser(prog)

    def work(chosen: argparse.Namespace) -> int:
        results = Results(chosen.json, parser.prog)
        with _cache(), results.attempt('bench'):
            _measure(chosen, results)
        return 1 if results.failed else 0

    return command.run(parser, work, arguments)


def _parser(prog: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=prog, description=__doc__.partition(': ')[2])
    parser.add_argument(
        '--models',
        type=command.names,
        default=['small'],
        metavar='MODELS',
        help=f'sizes, with random weights ({", ".join(SIZES)}), known names or files; small',
    )
    parser.add_argument(
        '--sections',
        type=command.names,
        default=[name for name in SECTIONS if name not in NOT_UNASKED],
        metavar='SECTIONS',
        help=f'what to measure; all but {", ".join(NOT_UNASKED)} ({", ".join(SECTIONS)})',
    )
    parser.add_argument('--ros', action='store_true', help='also pose_node, over DDS: ros, images')
    parser.add_argument(
        '--ablate', action='store_true', help='also each of the faster ways on CUDA, on and off'
    )
    parser.add_argument(
        '--compare', choices=['transformers'], help='a peer, in the same process, by turns'
    )
    parser.add_argument(
        '--backends', type=command.names, default=[], help='torch,openvino,onnx; what is installed'
    )
    parser.add_argument(
        '--precisions',
        type=_precisions,
        default=['float32', 'auto'],
        help='float32,auto; also bfloat16, float16, int8',
    )
    parser.add_argument(
        '--device',
        default='auto',
        help=f'auto, cpu, cuda, cuda:N or intel_gpu; {DRY}: what is for CUDA on the processor, to '
        'see that it runs',
    )
    parser.add_argument(
        '--threads',
        type=command.whole(0, MOST_THREADS),
        default=0,
        help='0: all cores but one',
    )
    parser.add_argument('--batches', type=_numbers, default=[1, 4, 8], help='1,4,8')
    parser.add_argument('--people', type=_numbers, default=[1, 2, 4, 8, 16, 32], help='1,2,4...')
    parser.add_argument(
        '--rounds', type=command.whole(1), default=11, help='of each measurement; 11'
    )
    parser.add_argument(
        '--frames', type=command.whole(1), default=10000, help='of the memory test; 10000'
    )
    parser.add_argument(
        '--json',
        type=command.new_file,
        metavar='FILE',
        help='also write each figure there, a line of JSON',
    )
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


def _precisions(text: str) -> list[str]:
    names, choices = command.names(text), ('auto', *get_args(Precision))
    for name in names:
        if name not in choices:
            raise argparse.ArgumentTypeError(f"'{name}' is not known; give {', '.join(choices)}")
    return names


def _numbers(text: str) -> list[int]:
    return [command.whole(1)(number) for number in command.names(text)]


def _measure(chosen: argparse.Namespace, results: Results) -> None:
    """Measure, section by section."""
    wanted = [*chosen.sections, *OVER_DDS * chosen.ros, *['ablation'] * chosen.ablate]
    for name in wanted:
        if name not in SECTIONS:
            raise BackendError(f"section '{name}' is not known; give {', '.join(SECTIONS)}")
    threads = chosen.threads or processor.default_threads()
    torch.set_num_threads(threads)  # the peer's, too
    compared = [chosen.compare] if chosen.compare else []
    results.about(machine.about(threads, compared, cuda_device(chosen.device)))
    peer = None
    if chosen.compare:
        with results.attempt(chosen.compare):
            peer = _peer(chosen.compare)
    backends = chosen.backends
    if not backends:
        backends, missing = installed(chosen.device)
        for backend in missing:
            results.leave_out(backend)
    if chosen.device == DRY and set(backends) != {'torch'}:
        raise BackendError(f"device '{DRY}' is for torch alone; leave --backends out")
    options = BenchOptions(
        results,
        chosen.device,
        threads,
        chosen.rounds,
        backends,
        chosen.precisions,
        chosen.batches,
        chosen.people,
        peer,
    )
    if not options.contenders():
        raise BackendError('int8 is nothing that torch runs; add --backends onnx or openvino')
    gpu = options.cuda
    if gpu is None and 'torch' in backends and chosen.device.startswith('cuda'):
        with results.attempt('torch'):
            choose('torch', chosen.device)  # says why not

    def run(name: str, section: Callable[[], None]) -> None:
        if name in wanted:
            with results.attempt(name):
                section()

    run('product', partial(product.products, options))
    run('crop', partial(stages.crops, options))
    run('decode', partial(stages.decoding, options))
    if gpu is not None:
        run('crop', partial(on_gpu.crops, options, gpu))
        run('decode', partial(on_gpu.decoding, options, gpu))
    for index, name in enumerate(chosen.models):
        with results.attempt(name), _model(options, name) as (model, compared):
            run('network', partial(networks.network, options, model, compared))
            run('end-to-end', partial(frames.end_to_end, options, model, compared))
            if gpu is not None:
                run('ablation', partial(ablation.ablate, options, model, gpu))
            if index == 0:
                run('people', partial(frames.people, options, model))
                run('start-up', partial(resources.startup, options, model))
                run('shared-cores', partial(resources.shared_cores, options, model))
    if chosen.models[0] in SIZES:
        model = Model(chosen.models[0], toy=options.dry)
        run('experts', partial(networks.experts, options, model))
    run('accuracy', partial(accuracy.accuracy, options))
    run('space', partial(space.space, options))
    run('memory', partial(resources.growth, options, chosen.frames))
    # Imported late, because they need ROS.
    run('ros', lambda: _module('over_dds').latency(options, 'nano'))
    run('ros', lambda: _module('cameras').cameras(options, 'nano'))
    run('images', lambda: _module('images').images(options, 'nano'))


def _peer(name: str) -> Any:
    """Import the module of a peer."""
    if importlib.util.find_spec(name) is None:
        raise BackendError(f'not installed: pip install {name} pillow scipy')
    return _module(f'{name}_peer')


def _module(name: str) -> Any:
    return importlib.import_module(f'vitpose_ros.tools.bench.{name}')


@contextmanager
def _model(options: BenchOptions, name: str) -> Iterator[tuple[Model, Any]]:
    """Yield a network, and the peer with the same weights where there is one."""
    if options.dry and name in SIZES:
        yield Model(name, toy=True), None
    elif name not in SIZES or name == 'nano':
        yield Model(name, name), None
    elif options.peer is None:
        yield Model(name), None
    else:
        compared = None
        with options.results.attempt(f'{PEER}, {name}'):
            compared = options.peer.Peer(name, options.where)
        if compared is None:  # it does not start: the rest is measured without
            yield Model(name), None
            return
        with compared.weights() as weights:
            yield Model(name, weights), compared
