"""The mailbox between what receives and what works."""

import threading

from vitpose_ros.core.batching import Mailbox


def test_the_newest_item_waits_and_the_overwritten_are_counted():
    mailbox = Mailbox()
    for item in range(5):
        mailbox.put(item)
    assert mailbox.take() == 4
    assert mailbox.overwritten == 4


def test_a_larger_one_keeps_the_order():
    mailbox = Mailbox(size=3)
    for item in range(5):
        mailbox.put(item)
    assert [mailbox.take() for _ in range(3)] == [2, 3, 4]
    assert mailbox.overwritten == 2


def test_taking_waits_for_an_item_or_the_end():
    mailbox = Mailbox()
    taken = []

    def work():
        while (item := mailbox.take()) is not None:
            taken.append(item)

    worker = threading.Thread(target=work)
    worker.start()
    mailbox.put('frame')
    deadline = threading.Event()
    while not taken and not deadline.wait(0.01):
        pass
    mailbox.close()
    worker.join(5)
    assert not worker.is_alive()
    assert taken == ['frame']


def test_what_waits_is_dropped_at_the_end():
    mailbox = Mailbox()
    mailbox.put('frame')
    mailbox.close()
    assert mailbox.take() is None
