"""Write the parameters of pose_node into configuration and README.

Run it after a change: . dev/activate.bash && python dev/write_tables.py
"""

import re
import textwrap
from dataclasses import Field
from pathlib import Path
from typing import Any

from vitpose_ros.ros import parameters
from vitpose_ros.ros.images import ENCODINGS

ROOT = Path(__file__).parents[1]
WIDTH = 93  # of a comment in the configuration file


def plain(value: object) -> str:
    """Write a value as YAML does."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f'[{", ".join(value)}]'
    # YAML reads off and on as truth values.
    return f"'{value}'" if value in ('', 'off', 'on') else str(value)


def configuration(text: str) -> str:
    """Return config/pose.yaml with every parameter, its description and its default."""
    entries = ''
    for entry in parameters.table():
        lines = textwrap.wrap(entry.metadata['description'], WIDTH, break_on_hyphens=False)
        entries += ''.join(f'    # {line}\n' for line in lines)
        entries += f'    {entry.name}: {plain(entry.default)}\n\n'
    begin = text.index('  ros__parameters:\n') + len('  ros__parameters:\n')
    end = text.index('    # Quality of service of a topic')
    return text[:begin] + entries + text[end:]


def readme(text: str) -> str:
    """Return README.md with the table of parameters and the list of encodings."""
    rows = ''.join(map(row, parameters.table()))
    text = re.sub(
        r'(\| parameter \| default \| range \| \|\n\| --- \| --- \| --- \| --- \|\n)(\|.*\n)+',
        lambda match: match[1] + rows,
        text,
    )
    return re.sub(r'(?<=Encodings: ).*?(?=; others)', ', '.join(ENCODINGS), text)


def row(entry: Field[Any]) -> str:
    """Return the row of a parameter in the README's table."""
    data = entry.metadata
    limits = ', '.join(data['choices'])
    if data['minimum'] is not None:
        limits = f'{data["minimum"]} to {data["maximum"]}'
    marks = (' *' if data['live'] else '') + (' †' if data['per_camera'] else '')
    cells = (f'`{entry.name}`', f'`{plain(entry.default)}`', limits, data['description'] + marks)
    return f'| {" | ".join(cells)} |\n'.replace('|  |', '| |')


TABLES = {
    'config/pose.yaml': configuration,
    'README.md': readme,
}


if __name__ == '__main__':
    for name, write in TABLES.items():
        path = ROOT / name
        path.write_text(write(path.read_text()))
