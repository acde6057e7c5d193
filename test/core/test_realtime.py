"""The mailboxes between what receives and what works, with clocks of the test."""

import threading
from collections import Counter

import pytest

from vitpose_ros.core.realtime import Mailboxes

MS = 1_000_000


class Clock:
    """Stands still until it is moved."""

    def __init__(self, now=0):
        self.now = now

    def __call__(self):
        return self.now


def items(turn):
    return [(waiting.camera, waiting.item) for waiting in turn]


def test_the_newest_frame_waits_and_the_overwritten_are_counted():
    mailboxes = Mailboxes(['front'])
    for item in range(5):
        mailboxes.put('front', item, 0)
    assert items(mailboxes.take()) == [('front', 4)]
    counts = mailboxes.counts('front')
    assert (counts.received, counts.overwritten, counts.too_old) == (5, 4, 0)


def test_a_turn_takes_what_all_mailboxes_hold():
    mailboxes = Mailboxes(['front', 'left', 'rear'])
    mailboxes.put('rear', 'r', 0)
    mailboxes.put('front', 'f', 0)
    assert sorted(items(mailboxes.take())) == [('front', 'f'), ('rear', 'r')]
    mailboxes.put('left', 'l', 0)
    assert items(mailboxes.take()) == [('left', 'l')]


def test_who_is_first_changes_from_turn_to_turn():
    cameras = ['front', 'left', 'rear']
    mailboxes = Mailboxes(cameras)
    firsts = Counter()
    for _ in range(30):
        for camera in cameras:
            mailboxes.put(camera, None, 0)
        firsts[mailboxes.take()[0].camera] += 1
    assert firsts == dict.fromkeys(cameras, 10)


def test_larger_mailboxes_keep_the_order_and_give_one_frame_a_turn():
    mailboxes = Mailboxes(['front', 'rear'], size=3)
    for item in range(5):
        mailboxes.put('front', item, 0)
    mailboxes.put('rear', 'r', 0)
    assert sorted(items(mailboxes.take())) == [('front', 2), ('rear', 'r')]
    assert items(mailboxes.take()) == [('front', 3)]
    assert items(mailboxes.take()) == [('front', 4)]
    assert mailboxes.counts('front').overwritten == 2


def test_frames_that_are_too_old_are_dropped_and_counted():
    now = Clock(1000 * MS)
    mailboxes = Mailboxes(['front', 'rear'], size=3, max_age_ns=100 * MS, stamp_clock=now)
    for age_ms in (300, 101, 100):
        mailboxes.put('front', age_ms, now() - age_ms * MS)
    mailboxes.put('rear', 50, now() - 50 * MS)
    assert sorted(items(mailboxes.take())) == [('front', 100), ('rear', 50)]
    assert mailboxes.counts('front').too_old == 2

    mailboxes.max_age_ns = 0
    mailboxes.put('front', 'ancient', 0)
    assert items(mailboxes.take()) == [('front', 'ancient')]


def test_a_clock_that_jumped_back_drops_nothing():
    now = Clock(1000 * MS)
    mailboxes = Mailboxes(['front'], max_age_ns=100 * MS, stamp_clock=now)
    mailboxes.put('front', 'from the future', 1000 * MS)
    now.now = 10 * MS
    assert items(mailboxes.take()) == [('front', 'from the future')]


def test_when_all_are_too_old_taking_waits_on():
    now = Clock(1000 * MS)
    mailboxes = Mailboxes(['front'], max_age_ns=100 * MS, stamp_clock=now)
    mailboxes.put('front', 'old', 0)
    threading.Timer(0.2, mailboxes.put, ('front', 'new', 1000 * MS)).start()
    assert items(mailboxes.take()) == [('front', 'new')]


def test_an_entry_knows_when_it_came():
    mailboxes = Mailboxes(['front'], clock=Clock(7.5))
    mailboxes.put('front', None, 3)
    [waiting] = mailboxes.take()
    assert (waiting.arrived_s, waiting.stamp_ns) == (7.5, 3)


@pytest.mark.parametrize('turn_ms', [20, 33, 100, 170])
def test_no_frame_waits_longer_than_a_turn_and_all_get_the_same_share(turn_ms):
    """Play 60 s of three cameras at 30 Hz, with different phases, against a worker."""
    cameras = ['front', 'left', 'rear']
    now = Clock(0)
    mailboxes = Mailboxes(cameras, stamp_clock=now, clock=lambda: now() / 1e9)
    arrivals = sorted(
        (round((index / 30 + phase) * 1000) * MS, camera)
        for index in range(30 * 60)
        for camera, phase in zip(cameras, (0.0, 0.011, 0.023), strict=True)
    )
    taken, longest, busy_until = Counter(), 0, 0
    while arrivals:
        while arrivals and (arrivals[0][0] <= busy_until or now() > busy_until):
            now.now, camera = arrivals.pop(0)
            mailboxes.put(camera, now.now, now.now)
            if now.now > busy_until:
                break
        now.now = max(now.now, busy_until)
        turn = mailboxes.take()
        taken.update(waiting.camera for waiting in turn)
        longest = max(longest, *(now() - waiting.stamp_ns for waiting in turn))
        busy_until = now() + turn_ms * MS
    assert longest <= turn_ms * MS
    assert max(taken.values()) <= 1.05 * min(taken.values())
    for camera in cameras:
        counts = mailboxes.counts(camera)
        assert counts.received == 1800 == counts.overwritten + taken[camera]


def test_taking_waits_for_a_frame_or_the_end():
    mailboxes = Mailboxes(['front'])
    taken = []

    def work():
        while (turn := mailboxes.take()) is not None:
            taken.extend(items(turn))

    worker = threading.Thread(target=work)
    worker.start()
    mailboxes.put('front', 'frame', 0)
    deadline = threading.Event()
    while not taken and not deadline.wait(0.01):
        pass
    mailboxes.close()
    worker.join(5)
    assert not worker.is_alive()
    assert taken == [('front', 'frame')]


def test_what_waits_is_dropped_at_the_end_and_counted():
    mailboxes = Mailboxes(['front'])
    mailboxes.put('front', 'frame', 0)
    mailboxes.close()
    mailboxes.put('front', 'late', 0)
    assert mailboxes.take() is None
    assert mailboxes.counts('front').received == mailboxes.counts('front').overwritten == 2


def test_mailboxes_are_bounded_in_bytes_but_keep_one_frame():
    mailboxes = Mailboxes(['front'], size=5, max_bytes=100, bytes_of=int)
    for size in (40, 50, 30, 20):
        mailboxes.put('front', size, 0)
    assert mailboxes.counts('front').overwritten == 1
    assert [items(mailboxes.take()) for _ in range(3)] == [[('front', n)] for n in (50, 30, 20)]
    mailboxes.put('front', 20, 0)
    mailboxes.put('front', 500, 0)
    assert items(mailboxes.take()) == [('front', 500)]


def test_cameras_that_are_busy_are_left_out_and_nothing_is_waited_for():
    mailboxes = Mailboxes(['front', 'rear'])
    assert mailboxes.take(busy={'front'}) == []
    for camera in ('front', 'rear'):
        mailboxes.put(camera, camera[0], 0)
    assert items(mailboxes.take(busy={'front'})) == [('rear', 'r')]
    assert mailboxes.take(busy={'front'}) == []
    assert items(mailboxes.take()) == [('front', 'f')]
