"""tf2_ros does what closed forms say: the stand-in, and the real one where that is installed."""

import math
import os
import re
import select
import subprocess
import sys
import threading
import time
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import rclpy
import tf2_ros
import yaml
from builtin_interfaces.msg import Time as TimeMessage
from geometry_msgs.msg import TransformStamped
from rclpy.duration import Duration
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.time import Time
from rosgraph_msgs.msg import Clock

OVERLAY = Path(__file__).parents[2] / 'dev' / 'overlay'
LIMIT_S = 100  # for hangs
DOMAIN = 215 + os.getpid() % 18  # away from those of test/ros

X, Y, Z = np.eye(3)


def from_sources():
    """Import the stand-ins from their sources, beside the packages that are installed."""

    def ours():
        names = [name for name in sys.modules if name.split('.')[0] in ('tf2_py', 'tf2_ros')]
        return {name: sys.modules.pop(name) for name in names}

    installed = ours()
    places = [str(OVERLAY / 'tf2_py'), str(OVERLAY / 'tf2_ros_py')]
    sys.path[:0] = places
    try:
        import tf2_ros
    finally:
        del sys.path[: len(places)]
        ours()
        sys.modules.update(installed)
    return tf2_ros


IMPLEMENTATIONS = {'installed': tf2_ros}
if OVERLAY not in Path(tf2_ros.__file__).resolve().parents:
    IMPLEMENTATIONS['stand-in'] = from_sources()


@pytest.fixture(params=IMPLEMENTATIONS.values(), ids=IMPLEMENTATIONS.keys())
def tf(request):
    return request.param


@pytest.fixture
def buffer(tf):
    return tf.Buffer()


@pytest.fixture(scope='module')
def ros():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
        patch.setenv('ROS_DOMAIN_ID', str(DOMAIN))
        rclpy.init()
        yield
        rclpy.try_shutdown()


def at(seconds):
    return Time(nanoseconds=round(seconds * 1e9))


LATEST = Time()


def turn(axis, degrees):
    """A rotation about an axis, as x, y, z, w."""
    half = math.radians(degrees) / 2
    return (*(math.sin(half) * np.asarray(axis)), math.cos(half))


def transform(parent, child, seconds=0.0, translation=(0, 0, 0), rotation=(0, 0, 0, 1)):
    out = TransformStamped(child_frame_id=child)
    out.header.frame_id = parent
    out.header.stamp = at(seconds).to_msg()
    t, r = out.transform.translation, out.transform.rotation
    t.x, t.y, t.z = map(float, translation)
    r.x, r.y, r.z, r.w = map(float, rotation)
    return out


def put(buffer, *arguments, **options):
    buffer.set_transform(transform(*arguments, **options), 'test')


def fix(buffer, *arguments, **options):
    buffer.set_transform_static(transform(*arguments, **options), 'test')


def apply(found, point):
    """Return where a point of the source frame is in the target frame."""
    t, r = found.transform.translation, found.transform.rotation
    u, v = np.array([r.x, r.y, r.z]), np.asarray(point, float)
    turned = v + 2 * r.w * np.cross(u, v) + 2 * np.cross(u, np.cross(u, v))
    return turned + np.array([t.x, t.y, t.z])


def stamp(message):
    return message.header.stamp.sec + message.header.stamp.nanosec / 1e9


def eventually(condition, spin=lambda: time.sleep(0.01)):
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end, 'it never came'
        spin()


# Where things are


@pytest.fixture
def robot(buffer):
    """A robot at (1, 2) that faces along y of the map, with a camera half a metre in front."""
    put(buffer, 'map', 'base', 10, translation=(1, 2, 0), rotation=turn(Z, 90))
    fix(buffer, 'base', 'camera', translation=(0.5, 0, 1))
    # Optical frames have z in front, x to the right and y down.
    fix(buffer, 'camera', 'optical', rotation=(-0.5, 0.5, -0.5, 0.5))
    fix(buffer, 'base', 'rear', translation=(-0.5, 0, 1), rotation=turn(Z, 180))
    return buffer


@pytest.mark.parametrize(
    ('target', 'source', 'point', 'expected'),
    [
        ('map', 'camera', (0, 0, 0), (1, 2.5, 1)),
        ('map', 'camera', (1, 0, 0), (1, 3.5, 1)),
        ('camera', 'map', (1, 3.5, 1), (1, 0, 0)),
        ('base', 'optical', (0, 0, 2), (2.5, 0, 1)),
        ('base', 'optical', (0.1, 0.2, 2), (2.5, -0.1, 0.8)),
        ('map', 'optical', (0.1, 0.2, 2), (1.1, 4.5, 0.8)),
        ('optical', 'map', (1.1, 4.5, 0.8), (0.1, 0.2, 2)),
        ('rear', 'camera', (1, 0, 0), (-2, 0, 0)),
        ('rear', 'optical', (0, 0, 1), (-2, 0, 0)),
        ('map', 'map', (1, 2, 3), (1, 2, 3)),
    ],
)
def test_a_lookup_takes_points_from_source_to_target(robot, target, source, point, expected):
    for when in (LATEST, at(10)):
        found = robot.lookup_transform(target, source, when)
        assert apply(found, point) == pytest.approx(np.array(expected), abs=1e-12)
        assert (found.header.frame_id, found.child_frame_id) == (target, source)
    assert robot.can_transform(target, source, at(10)) == 1


def test_times_may_be_messages(robot):
    assert robot.lookup_transform('map', 'base', TimeMessage(sec=10)) == robot.lookup_transform(
        'map', 'base', at(10)
    )
    with pytest.raises(TypeError, match='nanoseconds'):
        robot.lookup_transform_core('map', 'base', 10.0)


def test_answers_are_numbers_which_messages_refuse(robot):
    assert type(robot.can_transform('map', 'base', LATEST)) is int


@pytest.mark.parametrize(
    ('rotation', 'expected'),
    [
        ((0, 0, 0, -1), (0, 0, 0, 1)),
        ((0, 0, 0, 3), (0, 0, 0, 1)),
        ((0, 0, -0.6, -0.8), (0, 0, 0.6, 0.8)),
        ((0, -0.8, 0, 0.36), (0, 0.8 / math.hypot(0.8, 0.36), 0, -0.36 / math.hypot(0.8, 0.36))),
        ((0, 0, -0.02, 0.01), (0, 0, 2 / math.sqrt(5), -1 / math.sqrt(5))),
    ],
)
def test_rotations_get_length_one_and_one_of_their_two_signs(buffer, rotation, expected):
    fix(buffer, 'a', 'b', rotation=rotation)
    r = buffer.lookup_transform('a', 'b', LATEST).transform.rotation
    assert (r.x, r.y, r.z, r.w) == pytest.approx(expected, abs=1e-12)


# In time


@pytest.mark.parametrize('sign', [1, -1])
def test_between_two_stamps_frames_go_straight_and_turn_evenly(buffer, sign):
    put(buffer, 'a', 'b', 10, translation=(0, 0, 0), rotation=turn(Z, 10))
    put(buffer, 'a', 'b', 13, translation=(3, -6, 9), rotation=sign * np.array(turn(Z, 100)))
    for seconds, degrees in ((10, 10), (11, 40), (12.5, 85), (13, 100)):
        found = buffer.lookup_transform('a', 'b', at(seconds))
        part = (seconds - 10) / 3
        radians = math.radians(degrees)
        assert apply(found, (0, 0, 0)) == pytest.approx(part * np.array([3, -6, 9]), abs=1e-12)
        assert apply(found, X) - apply(found, (0, 0, 0)) == pytest.approx(
            np.array([math.cos(radians), math.sin(radians), 0]), abs=1e-12
        )
        assert stamp(found) == seconds


def test_turns_take_the_shorter_way(buffer):
    put(buffer, 'a', 'b', 1, rotation=turn(Z, 170))
    put(buffer, 'a', 'b', 2, rotation=turn(Z, -170))
    assert apply(buffer.lookup_transform('a', 'b', at(1.5)), X) == pytest.approx(-X, abs=1e-12)


def test_time_zero_is_the_newest_that_all_have(buffer):
    for seconds in (1, 2, 3):
        put(buffer, 'map', 'base', seconds, translation=(seconds, 0, 0))
    for seconds in (1, 2):
        put(buffer, 'base', 'arm', seconds, translation=(0, seconds, 0))
    fix(buffer, 'arm', 'hand', translation=(0, 0, 1))
    found = buffer.lookup_transform('map', 'hand', LATEST)
    assert stamp(found) == 2
    assert apply(found, (0, 0, 0)) == pytest.approx(np.array([2, 2, 1]))
    assert buffer.get_latest_common_time('map', 'hand') == at(2)
    assert buffer.get_latest_common_time('hand', 'base') == at(2)
    assert buffer.get_latest_common_time('hand', 'arm') == LATEST
    assert stamp(buffer.lookup_transform('arm', 'hand', LATEST)) == 0


def test_what_stands_stands_at_all_times(buffer):
    fix(buffer, 'a', 'b', 50, translation=(1, 0, 0))
    assert stamp(buffer.lookup_transform('b', 'a', at(7))) == 7
    fix(buffer, 'a', 'b', 20, translation=(2, 0, 0))
    found = buffer.lookup_transform('a', 'b', at(1e6))
    assert apply(found, (0, 0, 0)) == pytest.approx(2 * X), 'the last one counts'


def test_a_frame_may_begin_to_move_and_to_stand(buffer):
    fix(buffer, 'a', 'b', translation=(1, 0, 0))
    put(buffer, 'a', 'b', 5, translation=(2, 0, 0))
    assert not buffer.can_transform('a', 'b', at(4))
    fix(buffer, 'a', 'b', translation=(3, 0, 0))
    assert apply(buffer.lookup_transform('a', 'b', at(4)), 0 * X) == pytest.approx(3 * X)


def test_late_ones_take_their_place(buffer):
    for seconds in (4, 1, 3, 2, 5):
        put(buffer, 'a', 'b', seconds, translation=(seconds**2, 0, 0))
    for seconds, expected in ((1.5, 2.5), (2, 4), (2.5, 6.5), (4.5, 20.5)):
        found = buffer.lookup_transform('a', 'b', at(seconds))
        assert found.transform.translation.x == pytest.approx(expected)


def test_of_equal_stamps_the_last_counts(buffer):
    for seconds, x in ((1, 0), (2, 10), (2, 20), (3, 30)):
        put(buffer, 'a', 'b', seconds, translation=(x, 0, 0))
    x = [
        buffer.lookup_transform('a', 'b', at(seconds)).transform.translation.x
        for seconds in (1.5, 2, 2.5)
    ]
    assert x == pytest.approx([5, 20, 25])


@pytest.mark.parametrize(('options', 'seconds'), [((), 10), ((Duration(seconds=2),), 2)])
def test_what_is_older_than_the_cache_time_is_forgotten(tf, options, seconds):
    buffer = tf.Buffer(*options)
    for tenths in range(200):
        put(buffer, 'a', 'b', 100 + tenths / 10)
    put(buffer, 'a', 'b', 100 + 19.9 - seconds - 1)  # too late
    kept = yaml.safe_load(buffer.all_frames_as_yaml())['b']
    assert kept['oldest_transform'] == pytest.approx(119.9 - seconds, abs=0.11)
    assert kept['buffer_length'] == pytest.approx(seconds, abs=0.11)
    assert kept['most_recent_transform'] == pytest.approx(119.9)
    assert (kept['parent'], kept['broadcaster']) == ('a', 'test')
    assert kept['rate'] == pytest.approx(10, rel=0.1)
    assert not buffer.can_transform('a', 'b', at(119.9 - seconds - 0.2))
    assert buffer.can_transform('a', 'b', at(119.9 - seconds + 0.2))


def test_the_stand_in_has_a_bound_for_clocks_that_stand(monkeypatch):
    caches = pytest.importorskip('tf2_py.caches', reason='the real package has no such limit')
    monkeypatch.setattr(caches, 'MOST_TRANSFORMS', 5)
    buffer = tf2_ros.Buffer()
    for index in range(20):
        put(buffer, 'a', 'b', 1, translation=(index, 0, 0))
    assert buffer.lookup_transform('a', 'b', LATEST).transform.translation.x == 19
    assert yaml.safe_load(buffer.all_frames_as_yaml())['b']['rate'] == 5 / 1e-4


def test_parents_change_over_time(buffer):
    fix(buffer, 'map', 'left', translation=(0, 1, 0))
    fix(buffer, 'map', 'right', translation=(0, -1, 0))
    for seconds, parent in ((1, 'left'), (2, 'left'), (3, 'right'), (4, 'right')):
        put(buffer, parent, 'ball', seconds, translation=(seconds, 0, 0))
    for seconds, expected in ((1.5, (1.5, 1)), (2.5, (2, 1)), (3, (3, -1)), (3.5, (3.5, -1))):
        found = buffer.lookup_transform('map', 'ball', at(seconds)).transform.translation
        assert (found.x, found.y) == pytest.approx(expected)


def test_a_point_that_stood_is_found_from_where_the_robot_went(buffer):
    put(buffer, 'map', 'base', 1, translation=(0, 0, 0))
    put(buffer, 'map', 'base', 2, translation=(1, 0, 0), rotation=turn(Z, 90))
    seen = (3, 1, 0)  # from the robot, at the first time
    found = buffer.lookup_transform_full('base', at(2), 'base', at(1), 'map')
    assert apply(found, seen) == pytest.approx(np.array([1, -2, 0]), abs=1e-12)
    assert stamp(found) == 2
    assert buffer.can_transform_full('base', at(2), 'base', at(1), 'map') == 1
    known, reason = buffer.can_transform_full(
        'base', at(3), 'base', at(1), 'map', return_debug_tuple=True
    )
    assert known == 0
    assert 'future' in reason


# What cannot be looked up


@pytest.mark.parametrize(
    ('seconds', 'reason'),
    [
        (13.5, r'future.*13\.500000.*13\.000000.*\[b\].*\[a\]'),
        (11.25, r'past.*11\.250000.*12\.000000.*\[b\].*\[a\]'),
    ],
)
def test_nothing_is_guessed_outside_of_the_data(tf, buffer, seconds, reason):
    put(buffer, 'a', 'b', 12)
    put(buffer, 'a', 'b', 13)
    with pytest.raises(tf.ExtrapolationException, match=reason):
        buffer.lookup_transform('a', 'b', at(seconds))
    known, said = buffer.can_transform('a', 'b', at(seconds), return_debug_tuple=True)
    assert known == 0
    assert re.search(reason, said)
    with pytest.raises(tf.ExtrapolationException, match=r'\[a\].*\[b\]'):
        buffer.lookup_transform('b', 'a', at(seconds))


def test_one_stamp_is_good_for_that_time_alone(tf, buffer):
    put(buffer, 'a', 'b', 12)
    assert buffer.can_transform('a', 'b', at(12))
    with pytest.raises(tf.ExtrapolationException, match=r'11\.000000.*12\.000000'):
        buffer.lookup_transform('a', 'b', at(11))


def test_frames_of_different_trees_have_no_connection(tf, buffer):
    fix(buffer, 'a', 'b')
    fix(buffer, 'c', 'd')
    for when in (LATEST, at(5)):
        with pytest.raises(tf.ConnectivityException, match=r"(?s)'b'.*'d'|'d'.*'b'"):
            buffer.lookup_transform('b', 'd', when)
        assert buffer.can_transform('b', 'd', when) == 0
    with pytest.raises(tf.TransformException):
        buffer.get_latest_common_time('b', 'd')


def test_frames_must_be_known_and_well_named(tf, buffer):
    fix(buffer, 'a', 'b')
    with pytest.raises(tf.LookupException, match='"nowhere"'):
        buffer.lookup_transform('a', 'nowhere', LATEST)
    with pytest.raises(tf.LookupException, match='"nowhere"'):
        buffer.lookup_transform_full('a', LATEST, 'b', LATEST, 'nowhere')
    for name in ('', '/a'):
        with pytest.raises(tf.InvalidArgumentException, match=f'"{name}"'):
            buffer.lookup_transform(name, 'b', LATEST)
        known, reason = buffer.can_transform('b', name, LATEST, return_debug_tuple=True)
        assert known == 0
        assert f'"{name}"' in reason


@pytest.mark.parametrize('when', [LATEST, at(1)])
def test_loops_are_noticed(tf, buffer, when):
    fix(buffer, 'map', 'stand')
    for parent, child in (('a', 'b'), ('b', 'c'), ('c', 'a')):
        put(buffer, parent, child, 1)
    with pytest.raises(tf.LookupException, match='loop'):
        buffer.lookup_transform('stand', 'b', when)


def test_long_chains_are_no_loops(buffer):
    for index in range(1000):
        fix(buffer, f'link{index}', f'link{index + 1}', translation=(0, 0, 0.001))
    found = buffer.lookup_transform('link0', 'link1000', LATEST)
    assert apply(found, (0, 0, 0)) == pytest.approx(Z)


def test_modules_have_the_names_of_the_real_ones():
    for module, name in (
        ('buffer', 'Buffer'),
        ('transform_listener', 'TransformListener'),
        ('transform_broadcaster', 'TransformBroadcaster'),
        ('static_transform_broadcaster', 'StaticTransformBroadcaster'),
    ):
        assert getattr(import_module(f'tf2_ros.{module}'), name) is getattr(tf2_ros, name)


def test_exceptions_have_one_base(tf):
    names = ('Lookup', 'Connectivity', 'Extrapolation', 'InvalidArgument', 'Timeout')
    for name in names:
        assert issubclass(getattr(tf, f'{name}Exception'), tf.TransformException)
    assert issubclass(tf.TransformException, Exception)


@pytest.mark.parametrize(
    'wrong',
    [
        {'rotation': (0, 0, 0, 0)},
        {'rotation': (0, 0, math.nan, 1)},
        {'translation': (0, math.nan, 0)},
        {'parent': 'b'},
        {'parent': ''},
        {'child': ''},
    ],
)
def test_invalid_transforms_are_left_out(buffer, wrong):
    put(buffer, **{'parent': 'a', 'child': 'b', 'seconds': 1, **wrong})
    assert not buffer.can_transform('a', 'b', LATEST)
    assert yaml.safe_load(buffer.all_frames_as_yaml()) == []


def test_slashes_of_old_broadcasters_are_dropped(buffer):
    put(buffer, '/a', '/b', 1)
    assert buffer.can_transform('a', 'b', at(1))
    assert 'b exists with parent a' in buffer.all_frames_as_string()


def test_clearing_forgets_what_moves(tf, buffer):
    put(buffer, 'map', 'base', 5)
    fix(buffer, 'base', 'camera')
    buffer.clear()
    assert buffer.can_transform('base', 'camera', LATEST)
    with pytest.raises(tf.ConnectivityException):
        buffer.lookup_transform('map', 'base', LATEST)
    with pytest.raises(tf.ExtrapolationException):
        buffer.lookup_transform('map', 'base', at(5))
    put(buffer, 'map', 'base', 1)
    assert buffer.can_transform('map', 'base', at(1)), 'an earlier time than before'


# Waiting


def test_a_lookup_waits_as_long_as_it_was_told(tf, buffer):
    begin = time.monotonic()
    with pytest.raises(tf.LookupException):
        buffer.lookup_transform('a', 'b', LATEST, Duration(seconds=0.2))
    assert time.monotonic() - begin >= 0.2
    assert not buffer.can_transform_full('a', LATEST, 'b', LATEST, 'c', Duration(seconds=0.05))


def test_a_lookup_ends_when_the_transform_comes(buffer):
    timer = threading.Timer(0.1, put, (buffer, 'a', 'b', 5), {'translation': (1, 0, 0)})
    timer.start()
    found = buffer.lookup_transform('a', 'b', at(5), Duration(seconds=LIMIT_S))
    timer.join()
    assert found.transform.translation.x == 1


def test_futures_get_the_transform_once_it_is_there(buffer):
    waiting = buffer.wait_for_transform_async('map', 'camera', at(5))
    full = buffer.wait_for_transform_full_async('camera', at(6), 'camera', at(5), 'map')
    dropped = buffer.wait_for_transform_async('map', 'camera', at(5))
    dropped.cancel()
    fix(buffer, 'base', 'camera', translation=(0, 1, 0))
    assert not waiting.done()
    put(buffer, 'map', 'base', 5, translation=(1, 0, 0))
    assert waiting.done()
    assert apply(waiting.result(), (0, 0, 0)) == pytest.approx(np.array([1, 1, 0]))
    assert not full.done()
    put(buffer, 'map', 'base', 6, translation=(3, 0, 0))
    assert apply(full.result(), (0, 0, 0)) == pytest.approx(-2 * X)
    assert buffer.wait_for_transform_async('map', 'camera', at(5.5)).done()


def test_coroutines_give_the_transform(buffer):
    lookup = buffer.lookup_transform_async('a', 'b', at(5))
    full = buffer.lookup_transform_full_async('a', at(5), 'b', at(5), 'a')
    for coroutine in (lookup, full):
        coroutine.send(None)  # goes on until it has to wait
    put(buffer, 'a', 'b', 5, translation=(1, 0, 0))
    for coroutine in (lookup, full):
        with pytest.raises(StopIteration) as end:
            coroutine.send(None)
        assert end.value.value.transform.translation.x == 1


def test_threads_may_share_a_buffer(buffer):
    put(buffer, 'a', 'b', 0.001, translation=(1, 0, 0))
    fix(buffer, 'b', 'c', translation=(0, 1, 0))
    wrong, end = [], threading.Event()

    def write(offset):
        for milliseconds in range(offset, 3000, 3):
            put(buffer, 'a', 'b', milliseconds / 1e3, translation=(milliseconds, 0, 0))

    def read():
        while not end.is_set():
            found = buffer.lookup_transform('a', 'c', LATEST)
            t = found.transform.translation
            if t.y != 1 or abs(t.x - stamp(found) * 1e3) > 1e-6:
                wrong.append(found)

    writers = [threading.Thread(target=write, args=(offset,)) for offset in (1, 2, 3)]
    readers = [threading.Thread(target=read) for _ in range(2)]
    for thread in writers + readers:
        thread.start()
    for thread in writers:
        thread.join(LIMIT_S)
    end.set()
    for thread in readers:
        thread.join(LIMIT_S)
    assert not wrong
    assert buffer.get_latest_common_time('a', 'c') == at(2.999)


# Over topics


def broadcast():
    """Send the frames of a robot that goes along x at 1 m/s, until standard input ends."""
    rclpy.init()
    node = rclpy.create_node('robot')
    still = tf2_ros.StaticTransformBroadcaster(node)
    still.sendTransform(transform('base', 'camera', translation=(0, 1, 0)))
    still.sendTransform([transform('camera', 'optical', translation=(0, 0, 1))])
    moving = tf2_ros.TransformBroadcaster(node)
    while not select.select([sys.stdin], [], [], 0.05)[0]:
        now = node.get_clock().now()
        place = (now.nanoseconds / 1e9 % 1000, 0, 0)
        moving.sendTransform(transform('map', 'base', now.nanoseconds / 1e9, place))
    rclpy.shutdown()


@pytest.fixture(scope='module')
def broadcaster(ros):
    """Such a robot in a process of its own."""
    process = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE)
    yield
    process.stdin.close()
    assert process.wait(LIMIT_S) == 0


def check_robot(found):
    """Assert that a pose of the optical frame in the map is where the robot was at its time."""
    expected = (stamp(found) % 1000, 1, 1)
    assert apply(found, (0, 0, 0)) == pytest.approx(np.array(expected), abs=1e-5)


def test_a_listener_hears_another_process(tf, broadcaster):
    node = rclpy.create_node('listening')
    buffer = tf.Buffer()
    listener = tf.TransformListener(buffer, node)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    eventually(
        lambda: buffer.can_transform('map', 'optical', LATEST),
        lambda: executor.spin_once(timeout_sec=0.1),
    )
    check_robot(buffer.lookup_transform('map', 'optical', LATEST))
    listener.unregister()
    node.destroy_node()


def test_a_listener_may_have_a_thread(tf, broadcaster):
    node = rclpy.create_node('listening_aside')
    buffer = tf.Buffer()
    listener = tf.TransformListener(buffer, node, spin_thread=True)
    check_robot(buffer.lookup_transform('map', 'optical', LATEST, Duration(seconds=LIMIT_S)))
    listener.executor.shutdown()
    listener.dedicated_listener_thread.join(LIMIT_S)
    assert not listener.dedicated_listener_thread.is_alive()
    node.destroy_node()


def test_a_clock_that_jumps_back_clears_what_moves(tf, ros):
    node = rclpy.create_node(
        'simulated', parameter_overrides=[Parameter('use_sim_time', value=True)]
    )
    source = rclpy.create_node('simulation')
    clock = source.create_publisher(Clock, '/clock', 10)
    buffer = tf.Buffer(node=node)
    executor = SingleThreadedExecutor()
    executor.add_node(node)

    def go_to(seconds):
        def spin():
            clock.publish(Clock(clock=at(seconds).to_msg()))
            executor.spin_once(timeout_sec=0.05)

        eventually(lambda: node.get_clock().now().nanoseconds == at(seconds).nanoseconds, spin)

    go_to(100)
    put(buffer, 'a', 'b', 100)
    fix(buffer, 'b', 'c')
    for seconds in (150, 149.5):
        go_to(seconds)
        assert buffer.can_transform('a', 'b', at(100)), seconds
    go_to(50)
    assert not buffer.can_transform('a', 'b', at(100))
    assert buffer.can_transform('b', 'c', at(100))
    node.destroy_node()
    source.destroy_node()


if __name__ == '__main__':
    broadcast()
