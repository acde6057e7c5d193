"""Values that the node starts with: wrong ones, lists however they are written, unknown names."""

import threading
import time

import pytest
import rclpy
from harness import START_LIMIT_S, Probe, clip_frame, detections_of, image_of
from rcl_interfaces.msg import Log, ParameterType
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray
from vitpose_ros.msg import KeypointsArray

from vitpose_ros.ros import node_parameters
from vitpose_ros.ros.pose_node import PoseNode

WRONG = {
    'min_keypoint_score': ('2', 'min_keypoint_score is 2.0; give 0.0 to 1.0'),
    'max_subjects': ('5.0', "max_subjects is 5.0, of type 'float'; give a whole number"),
    'threads': ("'2'", "threads is '2', of type 'str'; give a whole number"),
    'autostart': ("'true'", "autostart is 'true', of type 'str'; give true or false"),
    'labels': ('1', "labels is 1, of type 'int'; give true or false"),
    'palette': ('3', "palette is 3, of type 'int'; give a text"),
    'max_age_ms': ('-1.0', 'max_age_ms is -1.0; give 0.0 to 3600000.0'),
    'sync_queue_size': ('0', 'sync_queue_size is 0; give 1 to 1000'),
    'backend': ("'tpu'", "backend is 'tpu'; give auto, torch, onnx or openvino"),
}


def test_wrong_values_are_a_failed_configure_and_right_ones_help(start, probe, tmp_path):
    said = []
    kept = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    probe.create_subscription(Log, '/rosout', said.append, kept)
    path = tmp_path / 'wrong.yaml'
    lines = ''.join(f'    {name}: {text}\n' for name, (text, _) in WRONG.items())
    path.write_text(f'/**:\n  ros__parameters:\n    device: cpu\n    treads: 2\n{lines}')
    node = start('pose_node', arguments=['--ros-args', '--params-file', str(path)])
    status = probe.wait_for_status(b'\x02', 'cannot configure', 'network', START_LIMIT_S)
    probe.wait(lambda: any('cannot configure' in line.msg for line in said), 'it on /rosout')
    [line] = [line.msg for line in said if 'cannot configure' in line.msg]
    for _, words in WRONG.values():
        assert words in status.message and words in line
    assert "parameter 'treads' is not known and has no effect, did you mean threads?" in node.log
    assert node.alive and 'Traceback' not in node.log
    assert probe.state() == 'unconfigured'
    probe.wait_for_status(b'\x02', 'unconfigured: see the status of the network')  # the camera

    good = [0.5, 5, 2, True, False, 'id', 0, 30, 'auto']
    for name, value in zip(WRONG, good, strict=True):
        assert not probe.transition('configure'), f'{name} is wrong still'
        assert probe.set_parameter(name, value).successful
    assert probe.transition('configure') and probe.transition('activate')
    probe.wait_until_matched()
    assert node.stop()[0] == 0


def test_a_camera_that_is_taken_out_takes_its_wrong_values_with_it(ros):
    values = {'cameras': ['front', 'rear'], 'rear.max_subjects': -1, 'autostart': False}
    node = PoseNode(parameter_overrides=[Parameter(k, value=v) for k, v in values.items()])
    with pytest.raises(ValueError, match=r'rear\.max_subjects is -1'):
        node._settings.prepare()
    node._settings.locked = False
    assert node.set_parameters([Parameter('cameras', value=['front'])])[0].successful
    assert node._settings.prepare().camera_names() == ('front',)
    node._settings.locked = False
    assert node.set_parameters([Parameter('cameras', value=['front', 'rear'])])[0].successful
    with pytest.raises(ValueError, match=r'rear\.max_subjects is -1'):
        node._settings.prepare()
    node.destroy_node()


@pytest.mark.parametrize(
    ('name', 'value', 'said'),
    [
        ('/detections.subscription.reliability', 'banana', "is 'banana'; give match, reliable"),
        ('/image.subscription.depth', '-1', 'depth'),
        ('/pose_node/markers.publisher.depth', 'abc', 'depth'),
    ],
)
def test_wrong_quality_of_service_is_a_failed_configure(name, value, said, start, probe):
    node = start('pose_node', device='cpu', **{f'qos_overrides.{name}': value})
    status = probe.wait_for_status(b'\x02', 'cannot configure', 'network', START_LIMIT_S)
    assert said in status.message and 'not started' in node.log
    assert not probe.transition('configure')
    probe.images.publish(image_of(clip_frame()[0]))
    probe.rest(1.0)
    assert node.alive and probe.state() == 'unconfigured' and 'AttributeError' not in node.log
    # What was made before the failure is gone.
    probe.wait(
        lambda: (
            probe.count_publishers('/pose_node/keypoints') == 0
            and probe.count_subscribers('/image') == probe.count_subscribers('/detections') == 0
        ),
        'an end of what was half made',
    )
    assert node.stop()[0] == 0


@pytest.fixture
def embedded(ros):
    """Nodes in the process of the test."""
    nodes = []

    def make(**options):
        values = {'device': 'cpu', 'autostart': False, **options.pop('values', {})}
        overrides = [Parameter(name, value=value) for name, value in values.items()]
        nodes.append(PoseNode(parameter_overrides=overrides, **options))
        return nodes[-1]

    yield make
    for node in nodes:
        node.destroy_node()


def test_values_that_do_not_go_together_are_named(embedded):
    node = embedded(values={'track_low_score': 0.9})
    with pytest.raises(
        ValueError, match=r'^track_low_score is 0\.9, track_high_score is 0\.5; give'
    ):
        node._settings.prepare()


def test_values_that_go_together_are_taken_in_any_order(embedded):
    node = embedded(values={'track_high_score': 0.05, 'track_low_score': 0.01, 'threads': -3})
    with pytest.raises(ValueError, match=r'^threads is -3[^;]*; give[^;]*$'):
        node._settings.prepare()
    assert node._settings.values.track_options.track_high_score == 0.05


def test_what_is_set_while_the_parameters_of_topics_are_declared_stays(embedded, monkeypatch):
    node, merge = embedded(), node_parameters._with

    def slow(values, changed):
        merged = merge(values, changed)
        time.sleep(0.1)
        return merged

    monkeypatch.setattr(node_parameters, '_with', slow)
    threads = [
        threading.Thread(target=node.declare_parameter, args=('qos_overrides./x.depth', 5)),
        threading.Thread(target=node.set_parameters, args=([Parameter('max_subjects', value=3)],)),
        threading.Thread(target=node.set_parameters, args=([Parameter('max_age_ms', value=7.0)],)),
    ]
    for thread in threads:
        thread.start()
        time.sleep(0.03)
    for thread in threads:
        thread.join()
    assert node._settings.values.max_subjects == 3
    assert node._settings.values.max_age_ms == 7.0


def test_cameras_have_names_of_their_own_in_diagnostics(embedded):
    with pytest.raises(ValueError, match="cameras has 'network', which diagnostics say"):
        embedded(values={'cameras': ['network']})._settings.prepare()


@pytest.mark.parametrize('name', ['/map', 'my map', 'map '])
def test_a_frame_has_a_name_that_tf_can_have(name, embedded):
    with pytest.raises(ValueError, match=f"target_frame is '{name}'; give the name of a frame"):
        embedded(values={'target_frame': name})._settings.prepare()


@pytest.mark.parametrize('pairs', [['person:nix'], ['person:aic', 'person:coco']])
def test_classes_have_one_keypoint_set_that_is_known(pairs, embedded):
    with pytest.raises(ValueError, match=f"class_keypoint_sets has '{pairs[-1]}'; give each"):
        embedded(values={'class_keypoint_sets': pairs})._settings.prepare()


@pytest.mark.parametrize(
    ('name', 'meant'),
    [
        ('front.max_subject', 'front.max_subjects'),
        ('max_subject', 'max_subjects'),
        (
            'qos_overrides./front/image.subscription.reliabilty',
            'qos_overrides./front/image.subscription.reliability',
        ),
    ],
)
def test_a_parameter_that_nobody_knows_is_warned_of(name, meant, embedded, capfd):
    node = embedded(values={name: 5 if 'max' in name else 'best_effort', 'cameras': ['front']})
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    said = [line for line in capfd.readouterr().err.splitlines() if 'is not known' in line]
    assert len(said) == 1 and f"'{name}'" in said[0]
    assert said[0].rstrip('\x1b[0m').endswith(f'did you mean {meant}?')


@pytest.mark.parametrize('name', WRONG)
def test_each_wrong_value_is_named_with_what_would_be_right(name, embedded):
    text, words = WRONG[name]
    value = text.strip("'") if text.startswith("'") else float(text) if '.' in text else int(text)
    node = embedded(values={name: value, 'autostart': value if name == 'autostart' else False})
    with pytest.raises(ValueError, match=words):
        node._settings.prepare()


@pytest.mark.parametrize(
    'value',
    [
        'front,rear',
        ' front , rear,',
        ['front', 'rear'],
        ['front,rear'],
        '[front, rear]',
        "['front', 'rear']",
        ['[front, rear]'],
    ],
)
def test_lists_are_arrays_however_they_are_given(value, embedded):
    node = embedded(values={'cameras': value})
    assert node.get_parameter('cameras').value == ['front', 'rear']
    described = node.describe_parameter('cameras')
    assert described.type == ParameterType.PARAMETER_STRING_ARRAY
    for given, kept in (
        (['0', 'dog'], ['0', 'dog']),
        ('person', ['person']),
        ([0, 2], ['0', '2']),
    ):
        [result] = node.set_parameters([Parameter('detection_classes', value=given)])
        assert result.successful
        assert node.get_parameter('detection_classes').value == kept
    [result] = node.set_parameters([Parameter('detection_classes', value=[0.5])])
    assert not result.successful and 'give a list of words' in result.reason
    empty = Parameter('detection_classes', Parameter.Type.STRING_ARRAY, [])
    assert node.set_parameters([empty])[0].successful
    described = node.describe_parameter('detection_classes')
    assert described.type == ParameterType.PARAMETER_STRING_ARRAY


def test_types_and_ranges_are_described(embedded):
    node = embedded(values={'min_detection_score': 0})
    described = node.describe_parameter('min_detection_score')
    assert described.type == ParameterType.PARAMETER_DOUBLE
    assert described.floating_point_range[0].to_value == 1.0
    described = node.describe_parameter('backend')
    assert described.additional_constraints == 'auto, torch, onnx or openvino'
    described = node.describe_parameter('max_subjects')
    assert described.type == ParameterType.PARAMETER_INTEGER
    assert described.integer_range[0].from_value == 1


def test_the_node_works_in_the_program_of_another(embedded):
    """With a name and a namespace, in a single-threaded executor beside other nodes."""
    node = embedded(namespace='robot', name='poses', values={'autostart': True})
    probe = Probe()
    keypoints = []
    executor = SingleThreadedExecutor()
    for member in (node, probe):
        executor.add_node(member)

    def spin_until(condition):
        deadline = probe.get_clock().now().nanoseconds + 100e9
        while not condition():
            assert probe.get_clock().now().nanoseconds < deadline
            executor.spin_once(timeout_sec=0.1)

    probe.create_subscription(KeypointsArray, '/robot/poses/keypoints', keypoints.append, 10)
    images = probe.create_publisher(Image, '/robot/image', 10)
    found = probe.create_publisher(Detection2DArray, '/robot/detections', 10)
    pixels, people = clip_frame()
    image = image_of(pixels)
    detections = detections_of(image, [person.box for person in people])
    spin_until(lambda: images.get_subscription_count() == found.get_subscription_count() == 1)
    for _ in range(10):
        executor.spin_once(timeout_sec=0.1)
    images.publish(image)
    found.publish(detections)
    spin_until(lambda: keypoints)
    assert len(keypoints[0].subjects) == len(people)
    executor.shutdown()
    probe.destroy_node()
    assert rclpy.ok()


def test_what_is_set_for_one_camera_may_change_at_once(start, front_and_rear):
    start('pose_node', device='cpu', cameras='front,rear', **{'rear.max_subjects': 2})
    front, rear = front_and_rear
    for probe in front_and_rear:
        probe.wait_until_matched()
    pixels, people = clip_frame()

    def count(probe):
        image = image_of(pixels)
        answer = probe.ask(image, detections_of(image, [person.box for person in people]))
        return len(answer.subjects)

    assert (count(front), count(rear)) == (3, 2)
    assert front.set_parameter('front.max_subjects', 1).successful
    assert (count(front), count(rear)) == (1, 2)
    assert front.set_parameter('rear.max_subjects', 0).successful, 'as for all'
    assert (count(front), count(rear)) == (1, 3)
    assert not front.set_parameter('rear.max_subjects', -1).successful
    refused = front.set_parameter('rear.box_source', 'full_image')
    assert not refused.successful and 'read when the node is configured' in refused.reason
