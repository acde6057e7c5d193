"""Subscriptions that match their publishers."""

from typing import Any

from message_filters import SimpleFilter
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSPolicyKind, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions

CHECK_PERIOD_S = 0.5
MATCH = 'match'  # value of the reliability override: as the publishers offer it
RELIABILITIES = {
    'reliable': ReliabilityPolicy.RELIABLE,
    'best_effort': ReliabilityPolicy.BEST_EFFORT,
}


class MatchedSubscriber(SimpleFilter):
    """A message filter that subscribes reliably, unless a publisher offers best effort only.

    A reliable subscription hears nothing of a best-effort publisher, and a best-effort one
    loses most large images even of a reliable publisher: so neither fits all.
    The parameters qos_overrides.<topic>.subscription.{history, depth, reliability} have the
    last word.
    """

    def __init__(self, node: Node, kind: type, topic: str, *, depth: int = 10) -> None:
        super().__init__()
        self._node = node
        self._kind = kind
        self._topic = topic
        self._depth = depth
        self.topic_name: str = node.resolve_topic_name(topic)
        self._override = self._declare_override()
        self._reliability = self._offered()
        self._subscription = self._subscribe()
        # Steady, because a simulated clock may stand still.
        self._timer = node.create_timer(
            CHECK_PERIOD_S, self._check, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    def close(self) -> None:
        """Unsubscribe."""
        self._node.destroy_timer(self._timer)
        self._node.destroy_subscription(self._subscription)

    def _declare_override(self) -> str:
        name = f'qos_overrides.{self.topic_name}.subscription.reliability'
        if not self._node.has_parameter(name):
            description = f"'{MATCH}' the publishers, 'reliable' or 'best_effort'"
            self._node.declare_parameter(
                name, MATCH, ParameterDescriptor(description=description, read_only=True)
            )
        override: str = self._node.get_parameter(name).value
        if override not in (MATCH, *RELIABILITIES):
            raise ValueError(
                f"parameter {name} is '{override}'; give {MATCH}, reliable or best_effort"
            )
        return override

    def _offered(self) -> ReliabilityPolicy:
        if self._override != MATCH:
            return RELIABILITIES[self._override]
        publishers = self._node.get_publishers_info_by_topic(self.topic_name)
        best_effort = ReliabilityPolicy.BEST_EFFORT
        if any(publisher.qos_profile.reliability == best_effort for publisher in publishers):
            return best_effort
        return ReliabilityPolicy.RELIABLE

    def _subscribe(self) -> Any:
        return self._node.create_subscription(
            self._kind,
            self._topic,
            lambda message: self.signalMessage(message),
            QoSProfile(depth=self._depth, reliability=self._reliability),
            qos_overriding_options=QoSOverridingOptions(
                (QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH)
            ),
        )

    def _check(self) -> None:
        offered = self._offered()
        if offered == self._reliability:
            return
        self._reliability = offered
        self._node.destroy_subscription(self._subscription)
        self._subscription = self._subscribe()
        self._node.get_logger().info(
            f"'{self.topic_name}' is subscribed {offered.name.lower()} now, as its publishers "
            'offer it'
        )
