"""What a lookup raises."""


class TransformException(Exception):
    """The base of what a lookup raises."""


class LookupException(TransformException):
    """A frame is not known, or is its own ancestor."""


class ConnectivityException(TransformException):
    """Two frames have no common ancestor."""


class ExtrapolationException(TransformException):
    """The time is outside of what is kept."""


class InvalidArgumentException(TransformException):
    """A frame's name is empty, or starts with a slash."""


class TimeoutException(TransformException):
    """Something took too long; a Buffer never raises it."""
