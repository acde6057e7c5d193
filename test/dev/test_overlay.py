"""The stand-ins for what PyPI lacks behave like the real packages."""

import json
from pathlib import Path

import message_filters
import pytest
from ament_index_python.packages import get_package_share_directory
from message_filters import ApproximateTimeSynchronizer, SimpleFilter, TimeSynchronizer
from std_msgs.msg import Header

# Of vision_msgs 4.1.1 and tf2_msgs 0.39.1, as their own builds give them.
REAL_TYPE_HASHES = {
    'vision_msgs/msg/Detection2DArray': (
        'RIHS01_214274120007f4a683866481336b70310268cfa107aebe9d594a6acf75bda968'
    ),
    'tf2_msgs/msg/TFMessage': (
        'RIHS01_e369d0f05a23ae52508854b66f6aa0437f3449d652e8cbf22d5abe85d020f087'
    ),
}


class Stamped:
    def __init__(self, seconds, name=None):
        nanoseconds = round(seconds * 1e9)
        self.header = Header()
        self.header.stamp.sec, self.header.stamp.nanosec = divmod(nanoseconds, 10**9)
        self.name = name or seconds


def play(make, sequence):
    """Feed (input, seconds) pairs to a synchronizer of two inputs; return what came out."""
    inputs = [SimpleFilter(), SimpleFilter()]
    synchronizer = make(inputs)
    out = []
    synchronizer.registerCallback(lambda *messages: out.append(tuple(m.name for m in messages)))
    for index, seconds in sequence:
        inputs[index].signalMessage(Stamped(seconds))
    return out


@pytest.mark.parametrize('name', REAL_TYPE_HASHES)
def test_messages_have_the_types_of_the_real_packages(name):
    package, _, message = name.split('/')
    file = Path(get_package_share_directory(package)) / 'msg' / f'{message}.json'
    if not file.exists():
        pytest.skip('this ROS distribution has no type hashes')
    hashes = {
        each['type_name']: each['hash_string']
        for each in json.loads(file.read_text())['type_hashes']
    }
    assert hashes[name] == REAL_TYPE_HASHES[name]


def exact(inputs):
    return TimeSynchronizer(inputs, 10)


def test_equal_stamps_come_out_together():
    sequence = [(0, 1), (0, 2), (1, 1), (1, 2), (1, 3), (0, 3.1)]
    assert play(exact, sequence) == [(1, 1), (2, 2)]


def test_a_set_that_comes_out_takes_what_is_older_with_it():
    """As the real package since its releases of January 2026 (pull request 238)."""
    assert play(exact, [(0, 0), (1, 1), (0, 1), (1, 0)]) == [(1, 1)]
    assert play(exact, [(0, 1), (0, 2), (1, 2), (1, 1), (0, 3), (1, 3)]) == [(2, 2), (3, 3)]
    # What comes later than that may still meet, however old it is.
    assert play(exact, [(0, 2), (1, 2), (0, 1), (1, 1)]) == [(2, 2), (1, 1)]


def test_near_stamps_leave_what_is_older_where_it_is():
    near = lambda inputs: ApproximateTimeSynchronizer(inputs, 10, 0.1)  # noqa: E731
    assert play(near, [(0, 1), (0, 2), (1, 2), (1, 1)]) == [(2, 2), (1, 1)]


def test_the_oldest_stamps_make_room():
    exact = lambda inputs: TimeSynchronizer(inputs, 2)  # noqa: E731
    assert play(exact, [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2)]) == [(2, 2)]


def test_near_stamps_come_out_together():
    near = lambda inputs: ApproximateTimeSynchronizer(inputs, 10, 0.1)  # noqa: E731
    assert play(near, [(0, 1.0), (1, 1.2), (1, 1.05), (0, 1.21)]) == [(1.0, 1.05), (1.21, 1.2)]
    assert play(near, [(0, 1.0), (0, 1.08), (1, 1.06)]) == [(1.08, 1.06)], 'the nearest wins'
    assert play(near, [(0, 1.0), (1, 1.1)]) == [], 'the slop itself is too far'


def test_headerless_messages_are_left_out_unless_allowed():
    inputs = [SimpleFilter(), SimpleFilter()]
    out = []
    for allowed in (False, True):
        synchronizer = ApproximateTimeSynchronizer(inputs, 10, 5.0, allow_headerless=allowed)
        synchronizer.registerCallback(lambda *messages: out.append(messages))
        inputs[0].signalMessage('left')
        inputs[1].signalMessage('right')
        assert len(out) == int(allowed)


def test_extra_arguments_reach_the_callback():
    source, out = SimpleFilter(), []
    source.registerCallback(lambda *arguments: out.append(arguments), 'extra')
    source.signalMessage('message')
    assert out == [('message', 'extra')]
    assert {'Subscriber', 'TimeSynchronizer'} <= set(dir(message_filters))
