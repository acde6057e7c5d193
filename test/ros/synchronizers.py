"""What message_filters does with equal stamps, in its releases before and since January 2026."""

import message_filters


class Older(message_filters.TimeSynchronizer):
    """Until Humble 4.3.11, Jazzy 4.11.9, Kilted 7.1.4: only what pairs leaves the queues."""

    def add(self, msg, my_queue, _my_queue_index=None):
        with self.lock:
            stamp = msg.header.stamp.sec * 10**9 + msg.header.stamp.nanosec
            my_queue[stamp] = msg
            while len(my_queue) > self.queue_size:
                del my_queue[min(my_queue)]
            if all(stamp in queue for queue in self.queues):
                self.signalMessage(*(queue[stamp] for queue in self.queues))
                for queue in self.queues:
                    del queue[stamp]
                self.paired(stamp)

    def paired(self, stamp):
        pass


class Newer(Older):
    """Since then a pair takes everything older with it."""

    def paired(self, stamp):
        for queue in self.queues:
            for older in [waiting for waiting in queue if waiting < stamp]:
                del queue[older]
