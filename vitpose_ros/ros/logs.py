"""What nodes log: lines that may repeat with every frame, and those of other modules."""

import logging
import time
from typing import ClassVar, Protocol

PERIOD_S = 5.0


class InputError(ValueError):
    """A message that cannot be used; kind is one of a few words, for the log's throttle."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class Logger(Protocol):
    """What is used of rclpy's logger."""

    def error(self, message: str) -> object:
        """Log an error."""

    def warning(self, message: str) -> object:
        """Log a warning."""

    def info(self, message: str) -> object:
        """Log what goes on."""


class ThrottledLog:
    """Logs each kind of trouble once in a while, and how often it was left out since.

    rclpy's own throttle counts per line of code; here several kinds come through one line.
    """

    def __init__(self, logger: Logger, period_s: float = PERIOD_S) -> None:
        self._logger = logger
        self._period_s = period_s
        self._last: dict[str, float] = {}  # kind → time of its last line, seconds
        self._left_out: dict[str, int] = {}

    def error(self, kind: str, text: str) -> None:
        """Log an error, unless one of this kind was logged in the last period."""
        if (line := self._line(kind, text, self._period_s)) is not None:
            self._logger.error(line)

    def warning(self, kind: str, text: str, *, period_s: float | None = None) -> None:
        """Log a warning, unless one of this kind was logged in the last period.

        period_s: for this kind, if not the common one.
        """
        if (line := self._line(kind, text, period_s or self._period_s)) is not None:
            self._logger.warning(line)

    def _line(self, kind: str, text: str, period_s: float) -> str | None:
        now = time.monotonic()
        if now - self._last.get(kind, now - period_s) < period_s:
            self._left_out[kind] = self._left_out.get(kind, 0) + 1
            return None
        self._last[kind] = now
        left_out = self._left_out.pop(kind, 0)
        return text + (f' (and {left_out} more like it)' if left_out else '')


class NodeHandler(logging.Handler):
    """Hands what Python modules log on to the log of a node, so that it is on /rosout, too."""

    _levels: ClassVar[dict[logging.Logger, int]] = {}  # as they were before the first node

    def __init__(self, logger: Logger) -> None:
        super().__init__(logging.INFO)
        self._logger = logger

    def attach(self, logger: logging.Logger) -> None:
        """Begin to hand on what a logger of Python gets, what takes long (INFO) too."""
        self._levels.setdefault(logger, logger.level)
        logger.addHandler(self)
        logger.setLevel(logging.INFO)

    def detach(self, logger: logging.Logger) -> None:
        """End that; the last node of a process leaves the logger as it was."""
        logger.removeHandler(self)
        if not any(isinstance(handler, NodeHandler) for handler in logger.handlers):
            logger.setLevel(self._levels.pop(logger, logger.level))

    def emit(self, record: logging.LogRecord) -> None:
        """Log a record."""
        text = record.getMessage()
        if record.levelno >= logging.ERROR:
            self._logger.error(text)
        elif record.levelno >= logging.WARNING:
            self._logger.warning(text)
        else:
            self._logger.info(text)
