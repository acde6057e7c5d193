"""models: list, fetch, convert, quantise, export and describe the weights of networks."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from vitpose_ros.core.boxes.bottom_up import BottomUp
from vitpose_ros.core.boxes.known import KNOWN_DETECTORS, KnownDetector
from vitpose_ros.core.estimator import PoseEstimator
from vitpose_ros.core.model.config import PUBLIC_UDP, SIZES, ViTPoseConfig
from vitpose_ros.core.runtime.export import write_onnx
from vitpose_ros.core.runtime.int8 import calibration_of, calibration_path
from vitpose_ros.core.runtime.onnx_file import OnnxFile, read_onnx
from vitpose_ros.core.skeletons import SKELETONS
from vitpose_ros.core.types import NO_BOXES, Frame
from vitpose_ros.core.weights import (
    KNOWN_MODELS,
    Checkpoint,
    CheckpointError,
    find_model,
    load_network,
    read_checkpoint,
    write_checkpoint,
)
from vitpose_ros.core.weights.known import LICENCE, unknown_model
from vitpose_ros.tools import command
from vitpose_ros.tools.hub import fetch, fetch_detector, is_there, pin_of
from vitpose_ros.tools.quantize import MOST, about_calibration, quantize


def main(arguments: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Run the command line; return the exit code."""
    return command.run(_parser(prog), lambda chosen: chosen.run(chosen), arguments)


def _parser(prog: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=prog, description=__doc__.partition(': ')[2])
    commands = parser.add_subparsers(required=True, metavar='COMMAND')

    part = commands.add_parser(
        'list', help='show the networks and detectors that are known by name'
    )
    part.set_defaults(run=_list)

    part = commands.add_parser('fetch', help='download a known network or detector')
    part.add_argument('name', metavar='NAME')
    part.set_defaults(run=_fetch)

    part = commands.add_parser(
        'convert', help='write weights as one safetensors file with the configuration in it'
    )
    part.add_argument('model', metavar='IN', help=command.MODEL)
    part.add_argument('out', metavar='OUT', type=Path, help='the file to write')
    command.add_keypoint_sets(part, 'all')
    part.add_argument(
        '--udp',
        metavar='SETS',
        help='those that the network was trained for with unbiased crops (UDP) and DARK decoding, '
        "'' for none; what IN says, or of foreign files "
        f'{",".join(PUBLIC_UDP)}, if left out',
    )
    part.set_defaults(run=_convert)

    part = commands.add_parser('export', help='write an ONNX file, of one keypoint set')
    part.add_argument('model', metavar='IN', help=command.MODEL)
    part.add_argument('out', metavar='OUT', type=Path, help='the file to write')
    part.add_argument(
        '--keypoint-set', metavar='SET', help=f"IN's first if left out ({', '.join(SKELETONS)})"
    )
    part.add_argument(
        '--image-size', type=command.size, metavar='HxW', help='height x width, pixels'
    )
    numbers = part.add_mutually_exclusive_group()
    numbers.add_argument(
        '--half', action='store_true', help='in float16, for GPUs; float32 if left out'
    )
    numbers.add_argument(
        '--int8', action='store_true', help='with products in int8 (Q/DQ), see quantize'
    )
    part.set_defaults(run=_export)

    part = commands.add_parser(
        'quantize', help='calibrate a network for precision int8, on images of what it will see'
    )
    part.add_argument('model', metavar='MODEL', help=command.MODEL)
    part.add_argument('images', metavar='IMAGES', type=Path, help='a folder of images')
    part.add_argument(
        'out', metavar='OUT', type=Path, nargs='?',
        help='the file to write; where it is looked for, beside the weights, if left out',
    )  # fmt: skip
    part.add_argument(
        '--boxes', type=Path, help='a COCO annotation file; whole images if left out'
    )
    command.add_keypoint_sets(part, 'all of the network')
    part.add_argument(
        '--image-size', type=command.size, metavar='HxW', help='height x width, pixels'
    )
    part.add_argument('--limit', type=command.whole(1), default=MOST, help=f'most crops; {MOST}')
    part.set_defaults(run=_quantize)

    part = commands.add_parser(
        'build', help='make what a backend makes on its first start, ahead of time'
    )
    part.add_argument('model', metavar='IN', help=command.MODEL)
    names = ('device', 'backend', 'precision', 'threads', 'keypoint_sets', 'max_batch')
    command.add_options(part, *names, 'cuda_graphs')
    part.set_defaults(run=_build)

    part = commands.add_parser('info', help='describe weights')
    part.add_argument('model', metavar='FILE', help=f'{command.MODEL}; or an ONNX file of ours')
    part.set_defaults(run=_info)
    return parser


def _list(_: argparse.Namespace) -> None:
    rows = [('NAME', 'SIZE', 'KEYPOINT SETS', 'MB', 'LICENCE', 'HERE', 'SOURCE')]
    for model in KNOWN_MODELS.values():
        rows.append(
            (
                model.name,
                model.size,
                'all six' if len(model.keypoint_sets) == 6 else ','.join(model.keypoint_sets),
                str(model.megabytes),
                LICENCE,
                'yes' if is_there(model) else 'no',
                model.source,
            )
        )
    for detector in KNOWN_DETECTORS.values():
        rows.append(
            (
                detector.name,
                'detector',
                'boxes of 80 classes',
                str(detector.megabytes),
                detector.licence,
                'yes' if detector.is_here else 'no',
                detector.source,
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print('  '.join(cells).rstrip())


def _fetch(chosen: argparse.Namespace) -> None:
    if detector := KNOWN_DETECTORS.get(chosen.name):
        _fetch_detector(detector)
        return
    model = KNOWN_MODELS.get(chosen.name)
    if model is None:
        raise unknown_model(chosen.name)
    if model.repository is None or is_there(model):
        print(f"'{model.name}' is already there: {find_model(model.name)}")
        return
    print(f"fetching '{model.name}', {model.megabytes} MB, {LICENCE}, from {model.source}")
    pinned = pin_of(model).is_file()
    print(f"'{model.name}' is ready: {fetch(model)}")
    if not model.sha256:
        told = 'as it was when first fetched here' if pinned else 'as the hub states it'
        print(
            f'its checksum (sha256), {told}: {pin_of(model).read_text().strip()}; no later fetch '
            f'may bring another ({pin_of(model)})'
        )


def _fetch_detector(detector: KnownDetector) -> None:
    if detector.is_here:
        print(f"'{detector.name}' is already there: {detector.folder}")
        return
    size = f'{detector.megabytes} MB, {detector.licence}'
    print(f"fetching '{detector.name}', {size}, from {detector.source}")
    checksums = fetch_detector(detector)
    print(f"'{detector.name}' is ready: {detector.folder}")
    print('the checksums (sha256) as first fetched here, which no later fetch may change:')
    for name, checksum in checksums.items():
        print(f'  {checksum}  {name}')


def _convert(chosen: argparse.Namespace) -> None:
    command.check_out(chosen.out, '.safetensors')
    checkpoint = read_checkpoint(chosen.model, chosen.keypoint_sets)
    sets = chosen.keypoint_sets or checkpoint.config.keypoint_sets
    config, state = checkpoint.select(sets)
    if chosen.udp is not None:
        udp = tuple(filter(None, (name.strip() for name in chosen.udp.split(','))))
        for name in udp:
            if name not in config.num_keypoints:
                raise CheckpointError(
                    f"--udp: keypoint set '{name}' is none of those written, {', '.join(sets)}"
                )
        config = replace(config, udp=udp)
    with command.written(chosen.out, '.safetensors') as unfinished:
        write_checkpoint(unfinished, config, state)
    print(f"'{chosen.out}' gives {', '.join(dict.fromkeys(sets))}")


def _export(chosen: argparse.Namespace) -> None:
    command.check_out(chosen.out, '.onnx')
    sets = None if chosen.keypoint_set is None else [chosen.keypoint_set]
    network = load_network(chosen.model, sets, image_size=chosen.image_size)
    [name] = network.config.keypoint_sets
    dtype = torch.float16 if chosen.half else torch.float32
    calibration = None
    if chosen.int8:
        calibration = calibration_of(network, calibration_path(chosen.model))
    with command.written(chosen.out, '.onnx') as unfinished:
        write_onnx(network, unfinished, name, dtype=dtype, calibration=calibration)
    height, width = network.config.image_size
    sees = 'images' if network.config.bottom_up else 'crops'
    print(
        f"'{chosen.out}' gives {name}: {sees} (n, {height}, {width}, 3) uint8 RGB to heatmaps "
        f'(n, {network.config.num_maps[name]}, {height // 4}, {width // 4}) float32'
    )


def _quantize(chosen: argparse.Namespace) -> None:
    print(
        quantize(
            chosen.model,
            chosen.images,
            chosen.out,
            boxes=chosen.boxes,
            keypoint_sets=chosen.keypoint_sets,
            image_size=chosen.image_size,
            most=chosen.limit,
        )
    )


def _build(chosen: argparse.Namespace) -> None:
    options = command.read_options(chosen)
    if _is_bottom_up(chosen.model):
        finder = BottomUp.load(chosen.model, options)
        finder.find([Frame(np.zeros((64, 64, 3), np.uint8), NO_BOXES)])
        if finder.warning:
            print(f'warning: {finder.warning}', file=sys.stderr)
        print(f"'{chosen.model}' is ready with {finder.backend.description}")
        return
    estimator = PoseEstimator.with_options(chosen.model, options)
    estimator.predict([Frame(np.zeros((64, 64, 3), np.uint8), np.array([[0, 0, 64, 64]]))])
    if estimator.backend.warning:
        print(f'warning: {estimator.backend.warning}', file=sys.stderr)
    print(f"'{chosen.model}' is ready with {estimator.backend.description}")


def _is_bottom_up(model: str | Path) -> bool:
    path = find_model(model)
    return path.suffix != '.onnx' and read_checkpoint(path).config.bottom_up


def _info(chosen: argparse.Namespace) -> None:
    if str(chosen.model).endswith('.onnx'):
        description = _onnx_description(read_onnx(Path(chosen.model).expanduser()))
    else:
        description = _description(read_checkpoint(chosen.model))
        description['int8'] = about_calibration(chosen.model)
    for name, value in description.items():
        print(f'{name + ":":<15}{value}')


def _description(checkpoint: Checkpoint) -> dict[str, str]:
    config, tensors = checkpoint.config, checkpoint.state.values()
    part = config.part_features
    return {
        'file': str(checkpoint.path),
        'layout': checkpoint.layout,
        **_shape(config),
        'experts': f'{part} of {config.embed_dim} features' if part else 'none',
        'parameters': f'{sum(tensor.numel() for tensor in tensors) / 1e6:.1f} million',
        'numbers': ', '.join(sorted({str(t.dtype).removeprefix('torch.') for t in tensors})),
    }


def _onnx_description(file: OnnxFile) -> dict[str, str]:
    return {
        'file': str(file.path),
        'layout': 'ONNX, of one keypoint set',
        **_shape(file.config),
        'numbers': file.precision,
    }


def _shape(config: ViTPoseConfig) -> dict[str, str]:
    """Describe the shape of a network."""
    shape = {'embed_dim': config.embed_dim, 'depth': config.depth, 'num_heads': config.num_heads}
    size = next((name for name, known in SIZES.items() if shape.items() <= known.items()), 'other')
    attention = ', '.join(
        f'{config.block_attention.count(kind)} {kind}'
        for kind in dict.fromkeys(config.block_attention)
    )
    if set(config.block_attention) != {'full'}:
        attention += ' (windows of {} x {} tokens)'.format(*config.window_size)
    return {
        'size': f'{size}: width {config.embed_dim}, {config.depth} blocks, '
        f'{config.num_heads} heads',
        'keypoint sets': ', '.join(f'{name} ({k})' for name, k in config.num_keypoints.items()),
        'attention': attention,
        'decoder': config.decoder,
        'crops': 'none: bottom-up, it sees whole images'
        if config.bottom_up
        else f'unbiased (UDP) of {", ".join(config.udp) or "none"}, plain of all others',
        'input': '{} x {} pixels (height, width)'.format(*config.image_size),
    }


if __name__ == '__main__':
    sys.exit(main())
