"""What is run: tests and measurements, each part a process of its own, the most telling first."""

import importlib.util
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
TESTS = 'test/core'
# Files with a process of their own: by what happens in one, the others would be lost.
OWN = {
    'sizes and graphs': ['runtime/test_cuda_sizes.py', 'runtime/test_cuda_graphs.py'],
    'neighbours': ['runtime/test_cuda_neighbours.py'],
    'memory': ['runtime/test_cuda_memory.py'],
    'capture': ['runtime/test_cuda_capture.py'],
}
PYTEST = (
    '-m', 'pytest', '-p', 'gpu_check.plugin', '-m', 'cuda', '-q', '--tb=short',
    '--continue-on-collection-errors',
)  # fmt: skip
ENOUGH_S = 15.0  # with less time left, a part is not begun


@dataclass(frozen=True)
class Part:
    """A process: a Python command that writes what it finds to a file."""

    name: str
    arguments: tuple[str, ...]  # of the interpreter
    share: float  # of all time, what it may take; together more than all, as most take less
    reserved: float = 0.0  # of all time, what those before it leave it


def parts(*, dry: bool) -> list[Part]:
    """Return what to run on a GPU, or, dry, what shows on a processor that it would run."""
    compare = ' --compare transformers' if importlib.util.find_spec('transformers') else ''
    if dry:
        sections = 'product,crop,decode,network,end-to-end,experts,ablation'
        small = '--models nano --batches 1,2 --people 1,2 --rounds 1'
        return [
            figures('figures', f'--device dry --sections {sections} {small}', 0.5),
            tests('tests', [*others(), *itertools.chain(*OWN.values())], 0.5),
        ]
    short = '--device cuda --backends torch --precisions auto'
    batches = '--batches 1,2,4,8,16,32,64'
    return [
        figures(
            'network',
            f'{short} --sections product,network --models base,large,small,nano,huge {batches} '
            '--rounds 30',
            0.25,
        ),
        tests('tests', others(), 0.3),
        figures(
            'end to end',
            f'{short} --sections end-to-end --models base --people 1,4,8,16,32 --rounds 20'
            f'{compare}',
            0.2,
        ),
        tests('sizes and graphs', OWN['sizes and graphs'], 0.25),
        tests('neighbours', OWN['neighbours'], 0.2),
        tests('memory', OWN['memory'], 0.15),
        figures(
            'crops, decoding, experts',
            f'{short} --sections crop,decode,experts --models base --people 1,4,8,16 --rounds 10',
            0.15,
        ),
        # A capture that fails may leave PyTorch in a bad state: a process of its own.
        tests('capture', OWN['capture'], 0.1),
        # They open a backend for each way: what time is left goes to the larger network last.
        *(
            figures(
                f'ablation {model}',
                f'{short} --sections ablation --models {model} --batches 1,16 --rounds 10',
                0.25,
                reserved,
            )
            for model, reserved in (('base', 0.15), ('large', 0.0))
        ),
    ]


def figures(name: str, arguments: str, share: float, reserved: float = 0.0) -> Part:
    """Return a part that measures."""
    return Part(name, ('-m', 'vitpose_ros', 'bench', *arguments.split()), share, reserved)


def tests(name: str, files: Sequence[str], share: float) -> Part:
    """Return a part that tests."""
    return Part(name, (*PYTEST, *(f'{TESTS}/{file}' for file in files)), share)


def others() -> list[str]:
    """Return the files with tests for CUDA that have no process of their own."""
    own = set(itertools.chain(*OWN.values()))
    found = {
        str(path.relative_to(ROOT / TESTS)): path.read_text()
        for path in sorted((ROOT / TESTS).rglob('test_*.py'))
    }
    return [
        name
        for name, text in found.items()
        if name not in own and re.search(r'mark\.cuda|gpu\.MARKS', text)
    ]
