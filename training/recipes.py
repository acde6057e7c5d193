"""What networks are trained as."""

from dataclasses import dataclass, replace

from training.network import SETS
from vitpose_ros.core.model.config import AttentionKind
from world.poses import GLANCE


@dataclass(frozen=True)
class Mixture:
    """What a step of one process trains: samples of each keypoint set, in their order."""

    patterns: tuple[dict[str, int], ...]  # taken in turns

    def of(self, step: int) -> dict[str, int]:
        """Return how many samples of each set a step takes."""
        return self.patterns[step % len(self.patterns)]


# COCO is what the network is for; the others share its encoder.
ALL_SETS = Mixture(
    (
        {'coco': 5, 'wholebody': 3},
        {'coco': 5, 'aic': 3},
        {'coco': 5, 'wholebody': 3},
        {'coco': 5, 'mpii': 3},
    )
)
COCO = Mixture(({'coco': 8},))


@dataclass(frozen=True)
class Recipe:
    """All that a trained network follows from, beside the code."""

    samples: int
    sets: tuple[str, ...] = SETS
    embed_dim: int = 192
    depth: int = 8
    seed: int = 1
    processes: int = 2
    pool: int = 2400  # views that a process keeps
    reuse: int = 12  # samples a view
    rate: float = 1e-3
    muon: float = 1.5  # the rate of Muon, in parts of that of AdamW
    warm_up: int = 300  # steps
    cool_down: float = 0.2  # the last part of the samples, in which the rate falls to zero
    decay: float = 0.05
    averaging: float = 0.999  # of the weights, a step
    entropy: float = 0.5  # weight of the cross-entropy of the peaks
    early: float = 0.3  # weight of what the network says early
    # The share of whole people in true boxes: at first, later, and after how many samples.
    easy_first: float = 0.75
    easy: float = 0.25
    easy_until: int = 150_000
    panoramas: bool = True
    sport: float = 0.0  # the share of people in motion, as players and dancers are
    close: float = 0.0  # the share of people so close that the image ends below the head or lower
    covered: float = 0.0  # the share of people whose front and back differ little
    glance: float = GLANCE  # how far heads turn to a side, degrees, standard deviation
    front: float = 0.0  # the share of people seen from behind who turn round to the camera instead
    backs: float = 0.0  # the share of people with something printed on the back
    wheels: float = 0.0  # the share of people in wheelchairs and on bicycles
    styled: float = 0.0  # the share of pictures whose light and textures no renderer makes
    # Of a network that finds everybody in a picture: pictures a step of one process (0: it sees
    # crops), their height and width, and what each part of the loss counts.
    pictures: int = 0
    picture: tuple[int, int] = (384, 512)
    attention: tuple[AttentionKind, ...] = ('full',)  # of the blocks, in turns
    window: tuple[int, int] = (12, 16)  # tokens
    peaks: float = 1.0
    centres: float = 1.0
    offsets: float = 1.0
    boxes: float = 1.0
    # After so many samples the averaged weights are trained on, with a new optimiser: where the
    # recipe's training was interrupted for good.
    restarts: tuple[int, ...] = ()

    @property
    def mixture(self) -> Mixture:
        """What a step of one process trains."""
        return ALL_SETS if len(self.sets) > 1 else COCO

    @property
    def batch(self) -> int:
        """Samples a step, of all processes."""
        return (self.pictures or sum(self.mixture.of(0).values())) * self.processes

    @property
    def weights(self) -> dict[str, float]:
        """What each part of the loss of pictures counts."""
        return {name: getattr(self, name) for name in ('peaks', 'centres', 'offsets', 'boxes')}


# People in motion, close to the camera, and dressed as for the street, too.
_WIDE = Recipe(
    samples=168_000,
    restarts=(96_000,),
    seed=2,
    cool_down=0.6,
    easy_first=0.25,
    sport=0.3,
    close=0.2,
    covered=0.9,
    glance=40.0,
    styled=0.6,
)

_CROWD = Recipe(
    samples=48_000,
    sets=('coco',),
    pictures=8,
    picture=(256, 384),
    seed=4,
    pool=1200,
    warm_up=100,
    # So that no part's gradient is much larger than that of centres.
    peaks=0.5,
    boxes=2.5,
    rate=6e-4,
    averaging=0.998,
    cool_down=0.4,
    sport=0.15,
    close=0.12,
    covered=0.6,
    styled=0.4,
    front=0.2,
    backs=0.35,
    wheels=0.04,
)

RECIPES = {
    'nano': Recipe(samples=520_000, restarts=(414_096,)),
    'nano-wide': _WIDE,  # the second stage, from the weights of 'nano'
    # The third stage, from the weights of 'nano-wide': most people face the camera, as in real
    # pictures, and heads turn less far, so that they say where the body faces.
    'nano-front': replace(
        _WIDE,
        samples=44_000,
        restarts=(),
        seed=3,
        rate=6e-4,
        cool_down=0.9,
        glance=GLANCE,
        front=0.5,
    ),
    # A fourth stage, which the network in models/ has not gone through: people from all sides,
    # with numbers on their backs, and on wheels.
    'nano-sides': replace(
        _WIDE,
        samples=120_000,
        restarts=(),
        seed=6,
        rate=6e-4,
        cool_down=0.7,
        sport=0.25,
        covered=0.6,
        glance=30.0,
        front=0.15,
        backs=0.4,
        wheels=0.06,
    ),
    # Everybody in a picture; from the weights of 'nano-front'. In cut-outs of half the pixels
    # first, then in the whole pictures that the network is for.
    'crowd': _CROWD,
    'crowd-large': replace(
        _CROWD,
        samples=24_000,
        picture=(384, 512),
        pictures=4,
        seed=5,
        rate=4e-4,
        cool_down=0.7,
    ),
    'smoke': Recipe(
        samples=320,
        pool=48,
        reuse=8,
        warm_up=5,
        rate=2e-3,
        averaging=0.9,
        easy_until=200,
        depth=2,
        panoramas=False,
    ),
    'crowd-smoke': replace(
        _CROWD,
        samples=240,
        picture=(128, 192),
        attention=('window', 'full'),
        window=(4, 6),
        pictures=4,
        pool=48,
        warm_up=5,
        rate=2e-3,
        averaging=0.9,
        depth=2,
        panoramas=False,
    ),
}
