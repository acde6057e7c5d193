"""How people are followed: one table for Python, command lines and the node."""

from dataclasses import dataclass, fields

from vitpose_ros.core.option import OptionError, check_value, option

SMOOTHINGS = ('off', 'light', 'strong')


@dataclass(frozen=True, kw_only=True)
class TrackOptions:
    """How people are followed. Raises OptionError, which names the option and what it takes."""

    tracking: str = option(
        'on',
        "who is who from frame to frame: 'on' follows people by their keypoints and boxes; "
        "'detections' takes the ids that the detector gave; 'off' gives no ids",
        choices=('off', 'on', 'detections'),
    )
    track_timeout_s: float = option(
        2.0,
        'how long a person who is not seen keeps the id, in seconds',
        minimum=0.0,
        maximum=60.0,
    )
    confirm_after: int = option(
        2, 'in how many frames somebody new must be seen to be believed', minimum=1, maximum=100
    )
    max_tracks: int = option(
        100,
        'most subjects that are followed per camera; beyond it those hidden longest are forgotten',
        minimum=1,
        maximum=1000,
    )
    track_high_score: float = option(
        0.5,
        'detections of at least this score begin tracks; for a detector whose scores are low, '
        'give less',
        minimum=0.0,
        maximum=1.0,
    )
    track_low_score: float = option(
        0.1,
        'detections of at least this score prolong tracks; others have no id',
        minimum=0.0,
        maximum=1.0,
    )
    smoothing: str = option(
        'off',
        "how much keypoints in the image are calmed over time: 'off'; 'light': they follow fast "
        "movements closest; 'strong': they stand stillest",
        choices=SMOOTHINGS,
    )
    smoothing_3d: str = option(
        'light',
        "how much joints in metres are calmed over time: 'off', 'light' or 'strong'",
        choices=SMOOTHINGS,
    )

    def __post_init__(self) -> None:
        """Check all, and bring each value into its type."""
        for entry in fields(self):
            value, about = getattr(self, entry.name), entry.metadata
            if isinstance(about['minimum'], float) and isinstance(value, bool):
                raise OptionError(f'{entry.name} is {value}; give a number')  # bools are numbers
            check_value(entry.name, value, about)
            if about['minimum'] is not None:  # numpy's become Python's
                number = float if isinstance(about['minimum'], float) else int
                object.__setattr__(self, entry.name, number(value))
        if self.smoothing != 'off' and self.tracking == 'off':
            raise OptionError(
                f"smoothing is '{self.smoothing}', tracking is 'off'; smoothing needs tracking"
            )
        if self.track_low_score > self.track_high_score:
            raise OptionError(
                f'track_low_score is {self.track_low_score}, track_high_score is '
                f'{self.track_high_score}; give a track_high_score that is not the lower one'
            )


DEFAULTS = TrackOptions()
