"""config/foxglove.json against the form of Foxglove's layouts, and the topics of the node."""

import json
from pathlib import Path

ROOT = Path(__file__).parents[1]
LAYOUT = json.loads((ROOT / 'config' / 'foxglove.json').read_text())
PANELS = {'3D', 'Image', 'DiagnosticSummary', 'Plot', 'RawMessages'}


def panels_of(part):
    """Return the panels of a part of the layout, which is one, or two parts beside each other."""
    if isinstance(part, str):
        return [part]
    assert part['direction'] in ('row', 'column')
    return panels_of(part['first']) + panels_of(part['second'])


def texts_in(value):
    if isinstance(value, dict):
        return [*value, *(text for entry in value.values() for text in texts_in(entry))]
    if isinstance(value, list):
        return [text for entry in value for text in texts_in(entry)]
    return [value] if isinstance(value, str) else []


def test_each_panel_is_shown_once_and_configured():
    shown = panels_of(LAYOUT['layout'])
    assert sorted(shown) == sorted(LAYOUT['configById'])
    assert {name.partition('!')[0] for name in shown} == PANELS


def test_topics_are_those_of_the_node():
    topics = {text for text in texts_in(LAYOUT) if text.startswith('/')}
    assert {topic.partition('.')[0] for topic in topics} == {
        '/diagnostics',
        '/pose_node/keypoints',
        '/pose_node/keypoints_3d',
        '/pose_node/markers',
        '/pose_node/overlay',
        '/pose_node/people',
    }
    code = ''.join(path.read_text() for path in (ROOT / 'vitpose_ros' / 'ros').glob('*.py'))
    for topic in topics - {'/diagnostics'}:
        name = topic.partition('.')[0].removeprefix('/pose_node/')
        assert f"'{name}'" in code or f"'~/{name}'" in code
