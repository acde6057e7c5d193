"""The error that all of this package's are."""


class VitposeError(Exception):
    """What this package cannot do, with the thing, the value and the remedy in its text."""
