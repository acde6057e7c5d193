"""config/pose.rviz against the names and rules of RViz 2, as its source has them."""

from pathlib import Path

import numpy as np
import pytest
import yaml

ROOT = Path(__file__).parents[1]
RVIZ = yaml.safe_load((ROOT / 'config' / 'pose.rviz').read_text())
MANAGER = RVIZ['Visualization Manager']
DISPLAYS = {display['Name']: display for display in MANAGER['Displays']}
TOPICS = {name: entry['Topic'] for name, entry in DISPLAYS.items() if 'Topic' in entry}

# What the properties of a topic may be.
POLICIES = {
    'Reliability Policy': {'System Default', 'Reliable', 'Best Effort'},
    'Durability Policy': {'System Default', 'Transient Local', 'Volatile'},
    'History Policy': {'System Default', 'Keep Last', 'Keep All'},
}
STEEPEST = np.pi / 2 - 0.001  # pitch of the view, radians


def test_every_class_is_one_of_rviz():
    classes = {display['Class'] for display in MANAGER['Displays']}
    kinds = ('Camera', 'Grid', 'Image', 'MarkerArray', 'TF')
    assert classes == {f'rviz_default_plugins/{kind}' for kind in kinds}
    assert MANAGER['Views']['Current']['Class'] == 'rviz_default_plugins/Orbit'
    assert [panel['Class'] for panel in RVIZ['Panels']] == [
        'rviz_common/Displays',
        'rviz_common/Views',
    ]


def test_displays_have_names_of_their_own():
    assert len(DISPLAYS) == len(MANAGER['Displays'])


def test_topics_are_those_of_the_node_and_its_camera():
    assert {topic['Value'] for topic in TOPICS.values()} == {
        'image',
        'image/compressed',
        'pose_node/overlay',
        'pose_node/markers',
    }
    assert not any(topic['Value'].startswith('/') for topic in TOPICS.values())


@pytest.mark.parametrize('name', TOPICS)
def test_policies_are_spelled_as_rviz_reads_them(name):
    topic = TOPICS[name]
    assert set(topic) == {'Value', 'Depth', *POLICIES}
    assert topic['Depth'] >= 1
    for policy, choices in POLICIES.items():
        assert topic[policy] in choices


@pytest.mark.parametrize('name', TOPICS)
def test_nothing_is_asked_for_that_large_images_do_not_survive(name):
    """Best effort loses most of what does not fit into shared memory."""
    assert TOPICS[name]['Reliability Policy'] == 'Reliable'
    assert TOPICS[name]['Durability Policy'] == 'Volatile', 'as the node and drivers publish'


def test_only_outputs_of_the_node_are_subscribed_at_the_start():
    """They are there whatever image_transport is, and RViz adds no copy of each image."""
    shown = {topic['Value'] for name, topic in TOPICS.items() if DISPLAYS[name]['Enabled']}
    assert shown == {'pose_node/overlay', 'pose_node/markers'}


def test_the_view_looks_from_behind_the_camera_along_its_axis_with_the_head_up():
    view = MANAGER['Views']['Current']
    pitch = np.clip(view['Pitch'], -STEEPEST, STEEPEST)
    focus = np.array([view['Focal Point'][axis] for axis in 'XYZ'], float)
    # updateCamera of the orbit view: z is the axis of the yaw.
    direction = np.array(
        [
            np.cos(view['Yaw']) * np.cos(pitch),
            np.sin(view['Yaw']) * np.cos(pitch),
            np.sin(pitch),
        ]
    )
    eye = focus + view['Distance'] * direction
    forward = -direction
    up = np.array([0.0, 0.0, 1.0]) + direction * -direction[2]
    up /= np.linalg.norm(up)
    # The frame is optical: x to the right, y down, z forward.
    assert forward == pytest.approx([0, 0, 1], abs=0.01)
    assert up == pytest.approx([0, -1, 0], abs=0.01)
    assert np.cross(forward, up) == pytest.approx([1, 0, 0], abs=0.01)
    assert eye[2] < 0 < focus[2] == 3.0, 'the markers stand before it, marker_distance away'
    assert view['Target Frame'] == '<Fixed Frame>'


def test_the_fixed_frame_is_that_of_the_demo_and_the_default_of_the_launch_file():
    frame = MANAGER['Global Options']['Fixed Frame']
    assert (
        f"declare_parameter('frame_id', '{frame}')"
        in (ROOT / 'vitpose_ros' / 'demo' / 'camera_node.py').read_text()
    )
    launch = (ROOT / 'launch' / 'pose.launch.py').read_text()
    assert f"        '{frame}',\n        \"RViz's fixed frame" in launch
    assert "'-f', argument('fixed_frame')" in launch


def test_frames_are_shown():
    assert DISPLAYS['TF']['Enabled']


def test_the_camera_display_shows_the_markers_and_nothing_else():
    shown = {name for name, there in DISPLAYS['Camera']['Visibility'].items() if there is True}
    assert shown == {'Skeletons', 'Value'}
    assert set(DISPLAYS['Camera']['Visibility']) == {*DISPLAYS, 'Value'} - {'Camera'}


def test_marker_namespaces_are_those_of_the_node():
    code = (ROOT / 'vitpose_ros' / 'ros' / 'markers.py').read_text()
    assert all(f"'{name}'" in code for name in DISPLAYS['Skeletons']['Namespaces'])
