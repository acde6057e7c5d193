"""Subscriptions that match their publishers."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from copy import copy
from typing import Any

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import (
    DurabilityPolicy,
    QoSCompatibility,
    QoSPolicyKind,
    QoSProfile,
    ReliabilityPolicy,
    qos_check_compatible,
)
from rclpy.qos_overriding_options import QoSOverridingOptions

from vitpose_ros.ros.leaving import LeavingGroup
from vitpose_ros.ros.losses import TELLS_NUMBERS, Losses

try:
    from rclpy.event_handler import SubscriptionEventCallbacks, UnsupportedEventTypeError
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks, UnsupportedEventTypeError

CHECK_PERIOD_S = 0.5
SETTLING_S = 1.0  # after the change to one subscription, messages may come a second time
MATCH = 'match'  # value of an override: as the publishers offer it
RELIABILITIES = {
    'reliable': ReliabilityPolicy.RELIABLE,
    'best_effort': ReliabilityPolicy.BEST_EFFORT,
}
DURABILITIES = {
    'transient_local': DurabilityPolicy.TRANSIENT_LOCAL,
    'volatile': DurabilityPolicy.VOLATILE,
}


class MatchedSubscription:
    """Subscribes as the publishers offer it, and looks again when they change.

    May be closed in any thread.

    Reliably, unless a publisher offers best effort only: a reliable subscription hears nothing
    of such a one, and a best-effort one loses most large images even of a reliable publisher.
    So with the durability: transient local only if all publishers are. As long as no publisher
    is known, there are two subscriptions, so that the first message is not missed: one of best
    effort as for sensor data, which hears everyone, and a reliable one. What comes over both
    counts once.
    The parameters qos_overrides.<topic>.subscription.{history, depth, reliability, durability}
    have the last word.
    """

    def __init__(
        self,
        node: Node,
        kind: type,
        topic: str,
        callback: Callable[[Any], None],
        *,
        depth: int = 10,
        count_lost: bool = False,
        others: Sequence[type] = (),
    ) -> None:
        """Subscribe; messages of the kind have a header.

        count_lost: whether lost is kept, which costs the executor a little with every callback.
        others: kinds that take its place where publishers have those alone.
        """
        self.topic_name: str = node.resolve_topic_name(topic)
        self._kinds = {_type_name(one): one for one in (kind, *others)}
        self.type_name = _type_name(kind)
        self.mismatch: str | None = None  # why some publisher is not heard
        self._losses = Losses()
        self._node = node
        self._group = LeavingGroup(node)
        self._callback = callback
        self._depth = depth
        self._count_lost = count_lost
        self._said: set[str] = set()
        self._changing = threading.Lock()
        self._closed = False
        self._reliability_override = self._override('reliability', RELIABILITIES)
        self._durability_override = self._override('durability', DURABILITIES)
        self._subscriptions: list[tuple[QoSProfile, Any]] = []
        self._settled_s = float('inf')  # since when there is one subscription
        self._heard: deque[tuple[int, int]] = deque(maxlen=64)  # stamps, before that
        try:
            publishers = self._publishers()
            self.type_name = self._spoken(publishers)
            self._settle(self._wanted(publishers) or self._undecided())
        except Exception:
            self._unsubscribe()
            raise
        self._timer = node.create_timer(
            CHECK_PERIOD_S,
            self._check,
            self._group,
            # Steady, because a simulated clock may stand still.
            Clock(clock_type=ClockType.STEADY_TIME),
        )

    def close(self) -> None:
        """Unsubscribe."""
        with self._changing:
            if self._closed:
                return
            self._closed = True
            self._group.destroy(self._timer, self._node.destroy_timer)
            self._unsubscribe()

    @property
    def lost(self) -> int:
        """How many messages are lost, if that is counted."""
        return self._losses.count

    def _unsubscribe(self) -> None:
        for _, subscription in self._subscriptions:
            self._group.destroy(subscription, self._node.destroy_subscription)

    def _override(self, policy: str, choices: dict[str, Any]) -> Any:
        """Return the policy that a parameter fixes, or None; declare the parameter."""
        name = f'qos_overrides.{self.topic_name}.subscription.{policy}'
        if not self._node.has_parameter(name):
            description = f"'{MATCH}' the publishers, or '" + "', or '".join(choices) + "'"
            self._node.declare_parameter(
                name, MATCH, ParameterDescriptor(description=description, read_only=True)
            )
        override: str = self._node.get_parameter(name).value
        if override != MATCH and override not in choices:
            raise ValueError(f"{name} is '{override}'; give {MATCH}, {' or '.join(choices)}")
        return choices.get(override)

    def _publishers(self) -> Sequence[Any]:
        found: Sequence[Any] = self._node.get_publishers_info_by_topic(self.topic_name)
        return found

    def _spoken(self, publishers: Sequence[Any]) -> str:
        """Return which of the kinds these publishers have; the one of now, where they do."""
        there = [publisher.topic_type for publisher in publishers]
        names = (self.type_name, *self._kinds)
        return next((name for name in names if name in there), self.type_name)

    def _profile(self, *, reliable: bool, latched: bool) -> QoSProfile:
        """Return a profile, as far as the overrides allow."""
        reliability = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
        durability = DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE
        return QoSProfile(
            depth=self._depth,
            reliability=self._reliability_override or reliability,
            durability=self._durability_override or durability,
        )

    def _undecided(self) -> list[QoSProfile]:
        """Return the profiles as long as no publisher is known."""
        profiles = [self._profile(reliable=reliable, latched=False) for reliable in (False, True)]
        return profiles[:1] if self._reliability_override else profiles

    def _wanted(self, publishers: Sequence[Any]) -> list[QoSProfile]:
        """Return the one profile for these publishers; none if there are none to go by."""
        offers = [p.qos_profile for p in publishers if p.topic_type == self.type_name]
        if not offers:
            return []
        return [
            self._profile(
                reliable=all(o.reliability == ReliabilityPolicy.RELIABLE for o in offers),
                latched=all(o.durability == DurabilityPolicy.TRANSIENT_LOCAL for o in offers),
            )
        ]

    def _settle(self, profiles: Sequence[QoSProfile]) -> None:
        """Subscribe with these profiles, and no others.

        After an error, as where those of another type have not left yet, there are none.
        """
        old = self._subscriptions
        kept = [(profile, s) for profile, s in old if profile in profiles]
        missing = [profile for profile in profiles if profile not in [known for known, _ in kept]]
        self._subscriptions = kept
        for profile in missing:
            kept.append((profile, self._subscribe(profile)))
        for profile, subscription in old:
            if profile not in profiles:
                self._group.destroy(subscription, self._node.destroy_subscription)
        self._settled_s = time.monotonic() if len(profiles) == 1 else float('inf')

    def _subscribe(self, profile: QoSProfile) -> Any:
        def subscription(**events: Any) -> Any:
            return self._node.create_subscription(
                self._kinds[self.type_name],
                self.topic_name,
                self._on_numbered if self._count_lost and TELLS_NUMBERS else self._on_message,
                copy(profile),  # rclpy writes the overrides into it
                callback_group=self._group,
                # _check says more than rclpy's own warnings.
                event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False, **events),
                qos_overriding_options=QoSOverridingOptions(
                    (QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH)
                ),
            )

        if self._count_lost:
            try:
                return subscription(message_lost=self._on_lost)
            except UnsupportedEventTypeError:  # not every middleware tells
                pass
        return subscription()

    def _on_lost(self, event: Any) -> None:
        if len(self._subscriptions) == 1:  # of two, the other may have heard it
            self._losses.tell(event.total_count_change)

    def _on_numbered(self, message: Any, info: Any) -> None:
        self._losses.arrived(info, is_only=len(self._subscriptions) == 1)
        self._on_message(message)

    def _on_message(self, message: Any) -> None:
        if time.monotonic() - self._settled_s < SETTLING_S:
            stamp = message.header.stamp.sec, message.header.stamp.nanosec
            if stamp in self._heard:
                return
            self._heard.append(stamp)
        self._callback(message)

    def _check(self) -> None:
        publishers = self._publishers()
        with self._changing:
            if self._closed:
                return
            spoken = self._spoken(publishers)
            if spoken != self.type_name:
                # The middleware has no two types of a topic: those of now leave first.
                self._settle(())
                self.type_name = spoken
                return
            wanted = self._wanted(publishers)
            if wanted and wanted != [profile for profile, _ in self._subscriptions]:
                try:
                    self._settle(wanted)
                except Exception as error:
                    if self._subscriptions:
                        raise
                    self._node.get_logger().warning(
                        f"'{self.topic_name}' cannot be subscribed yet: {error}"
                    )
                    return
                [profile] = wanted
                self._node.get_logger().info(
                    f"'{self.topic_name}' ({self.type_name}) is subscribed "
                    f'{profile.reliability.name.lower()}, {profile.durability.name.lower()} now, '
                    'as its publishers offer it'
                )
        complaints = [text for text in map(self._complaint, publishers) if text]
        self.mismatch = complaints[0] if complaints else None
        for text in complaints:
            if text not in self._said:
                self._node.get_logger().warning(text)
        self._said = set(complaints)

    def _complaint(self, publisher: Any) -> str | None:
        """Say why a publisher is not heard, if that is so."""
        who = f"'{publisher.node_name}' publishes on '{self.topic_name}'"
        if publisher.topic_type != self.type_name:
            return (
                f'{who}, but {publisher.topic_type} instead of {self.type_name}, so nothing '
                f'arrives from it; {_remedy(publisher.topic_type)}'
            )
        compatibility, reason = qos_check_compatible(
            publisher.qos_profile, self._subscriptions[0][0]
        )
        if compatibility != QoSCompatibility.ERROR:
            return None
        policies = [
            policy
            for policy, word in (('reliability', 'reliable'), ('durability', 'transient local'))
            if word in reason.lower()
        ]
        parameters = ' and '.join(
            f'qos_overrides.{self.topic_name}.subscription.{policy}' for policy in policies
        )
        return (
            f'{who} with incompatible quality of service ({reason.strip("; ")}), so nothing '
            f"arrives from it; set {parameters} to '{MATCH}', or change the publisher"
        )


def _remedy(type_name: str) -> str:
    """Say what to do about messages of a type that is not subscribed."""
    if type_name.startswith('yolo_msgs/'):
        return 'install yolo_msgs where this node runs, and start it again'
    return 'remap the topic, or set image_transport for compressed images'


def _type_name(kind: type) -> str:
    """Return the name of a kind of messages, as ROS has it."""
    return f'{kind.__module__.split(".")[0]}/msg/{kind.__name__}'
