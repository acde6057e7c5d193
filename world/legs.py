"""What legs do: stand, walk, sit, kick. Directions of the left leg; x is the outside."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from world.directions import BACK, LEFT, turn

Array = NDArray[Any]
Random = np.random.Generator


@dataclass
class Legs:
    """What the legs do; directions in the body's axes, mirrored for the right leg."""

    thighs: tuple[Array, Array]  # left, right
    shins: tuple[Array, Array]
    toes: tuple[float, float] = (0.0, 0.0)  # how far each foot points down, degrees
    lean: float = 0.0  # of the trunk to the front, degrees; half of it by the hips
    seat: bool = False  # on a seat
    tilt: Array = field(default_factory=lambda: np.eye(3))  # of the whole body


def _down(rng: Random, out: float = 0.08, front: float = 0.0, spread: float = 0.05) -> Array:
    return np.array([rng.normal(out, spread), rng.normal(-front, spread), -1.0])


def _mirrored(left: Array, right: Array) -> tuple[Array, Array]:
    return left, right * np.array([-1.0, 1, 1])


def _stand(rng: Random) -> Legs:
    width = abs(rng.normal(0.06, 0.07))
    thighs, shins = [], []
    for _ in range(2):
        knee = abs(rng.normal(0, 0.07)) + (rng.random() < 0.25) * rng.uniform(0, 0.3)
        step = rng.normal(0, 0.06)
        thighs.append(np.array([rng.normal(width, 0.03), step - knee * 0.6, -1]))
        shins.append(np.array([rng.normal(width * 0.8, 0.03), step + knee * 0.6, -1]))
    if rng.random() < 0.08:  # legs crossed
        shift = rng.uniform(0.1, 0.25)
        for limb in (thighs, shins):
            limb[0] = limb[0] - np.array([shift, 0.08, 0])
            limb[1] = limb[1] - np.array([shift, -0.08, 0])
    return Legs(_mirrored(*thighs), _mirrored(*shins), lean=rng.normal(2, 5))


def gait(rng: Random, *, run: bool, phase: float | None = None) -> Legs:
    """Walk or run; phase: where in a step, radians, drawn if not given."""
    drawn = rng.uniform(0, 2 * np.pi)
    phase = drawn if phase is None else phase
    stride = rng.uniform(0.55, 1.0) if run else rng.uniform(0.2, 0.5)
    thighs, shins, toes = [], [], []
    for offset in (0.0, np.pi):
        swing = stride * np.sin(phase + offset)
        # The knee bends while the leg swings to the front.
        bend = max(0.0, np.cos(phase + offset)) * (1.7 if run else 0.95) * rng.uniform(0.8, 1.1)
        bend += 0.25 if run else 0.08
        hip = swing + (0.25 if run else 0.04)
        out = rng.normal(0.03, 0.03)
        thighs.append(np.array([out, -np.sin(hip), -np.cos(hip)]))
        shins.append(np.array([out, -np.sin(hip - bend), -np.cos(hip - bend)]))
        toes.append(25 * bend * (1.0 if run else 0.7) * float(bend > 0.4))
    lean = rng.normal(10, 6) if run else rng.normal(3, 4)
    return Legs(_mirrored(*thighs), _mirrored(*shins), (toes[0], toes[1]), lean)


def _walk(rng: Random) -> Legs:
    return gait(rng, run=False)


def _run(rng: Random) -> Legs:
    return gait(rng, run=True)


def _sit(rng: Random) -> Legs:
    thighs, shins = [], []
    spread = rng.uniform(0.0, 0.45)
    for _ in range(2):
        thighs.append(np.array([rng.normal(spread, 0.08), -1, rng.normal(-0.05, 0.12)]))
        shins.append(np.array([rng.normal(spread * 0.2, 0.08), rng.normal(0.0, 0.28), -1]))
    style = rng.random()
    if style < 0.14:  # one leg over the other
        thighs[0] = np.array([-0.25, -1, 0.15])
        shins[0] = np.array([-0.3, rng.uniform(-0.6, 0.1), -1])
    elif style < 0.24:  # on the ground, legs stretched or bent
        for i in range(2):
            raised = rng.uniform(0, 0.9)
            thighs[i] = np.array([rng.normal(0.15, 0.1), -1, raised])
            shins[i] = np.array([rng.normal(0.05, 0.1), -1 + 1.3 * raised, -0.15 - raised])
    elif style < 0.34:  # on the ground, legs folded
        thighs = [np.array([0.9, -1, 0.1]), np.array([0.9, -1, 0.1])]
        shins = [np.array([-1.2, -0.1, -0.35]), np.array([-1.2, 0.15, -0.35])]
    return Legs(_mirrored(*thighs), _mirrored(*shins), lean=rng.normal(6, 15), seat=style >= 0.34)


def _crouch(rng: Random) -> Legs:
    depth = rng.uniform(-0.4, 0.35)
    thighs = [np.array([rng.uniform(0.1, 0.5), -1, rng.normal(depth, 0.1)]) for _ in range(2)]
    shins = [np.array([rng.normal(0.05, 0.08), rng.uniform(0.35, 0.9), -1]) for _ in range(2)]
    if rng.random() < 0.3:  # on a knee
        thighs[1] = np.array([0.1, -0.1, -1])
        shins[1] = np.array([0, 1, -0.15])
    return Legs(_mirrored(*thighs), _mirrored(*shins), lean=rng.uniform(0, 50))


def _lunge(rng: Random) -> Legs:
    front = np.array([rng.normal(0.1, 0.15), -1, rng.uniform(-1.2, 0.3)])
    back = np.array([rng.normal(0.1, 0.15), rng.uniform(0.2, 1.0), -1])
    shin_front = np.array([rng.normal(0.05, 0.1), rng.uniform(-0.5, 0.4), -1])
    shin_back = back + np.array([0, rng.uniform(0, 1.0), 0.0])
    pairs = [(front, shin_front), (back, shin_back)]
    if rng.random() < 0.5:
        pairs.reverse()
    (a, c), (b, d) = pairs
    return Legs(_mirrored(a, b), _mirrored(c, d), (rng.uniform(0, 25),) * 2, rng.normal(15, 15))


def _straddle(rng: Random) -> Legs:
    """Stand with legs wide apart, to the sides."""
    thighs = [np.array([rng.uniform(0.2, 0.9), rng.normal(0, 0.2), -1]) for _ in range(2)]
    shins = [t * np.array([0.8, 1, 1]) + [0, rng.uniform(0, 0.5), 0] for t in thighs]
    return Legs(_mirrored(*thighs), _mirrored(*shins), lean=rng.normal(8, 15))


def _bend(rng: Random) -> Legs:
    legs = _stand(rng)
    legs.lean = rng.uniform(35, 110)
    return legs


def _any(rng: Random) -> Legs:
    thighs, shins = [], []
    for _ in range(2):
        hip = np.radians(rng.uniform(-25, 110))
        knee = np.radians(max(0, rng.normal(40, 40)))
        out = rng.normal(0.15, 0.3)
        thighs.append(np.array([out, -np.sin(hip), -np.cos(hip)]))
        shins.append(np.array([out * 0.7, -np.sin(hip - knee), -np.cos(hip - knee)]))
    return Legs(
        _mirrored(*thighs), _mirrored(*shins), tuple(rng.uniform(0, 40, 2)), rng.normal(10, 22)
    )


def _kick(rng: Random) -> Legs:
    """Stand on one leg and swing the other, from far behind to high in front."""
    knee = rng.uniform(0, 0.5)
    stands = np.array([rng.normal(0.1, 0.12), -knee * 0.5, -1])
    shin = np.array([rng.normal(0.05, 0.1), knee * 0.6, -1])
    hip = np.radians(rng.uniform(-60, 100))
    bend = np.radians(rng.uniform(20, 110) if hip < 0.2 else abs(rng.normal(0, 35)))
    out = rng.normal(0.35, 0.35)
    swings = np.array([out, -np.sin(hip), -np.cos(hip)])
    swung = np.array([out * 0.8, -np.sin(hip - bend), -np.cos(hip - bend)])
    pairs = [(stands, shin, 0.0), (swings, swung, rng.uniform(0, 45))]
    if rng.random() < 0.5:
        pairs.reverse()
    (a, c, e), (b, d, f) = pairs
    return Legs(_mirrored(a, b), _mirrored(c, d), (e, f), rng.normal(0, 15))


def _jump(rng: Random) -> Legs:
    """Be in the air, both legs alike or each on its own."""
    hip, knee = rng.uniform(-20, 90), rng.uniform(5, 110)
    thighs, shins = [], []
    for _ in range(2):
        own = rng.normal(0, 1) * rng.choice([6, 35])
        angle = np.radians(hip + own)
        bend = np.radians(np.clip(knee + rng.normal(0, 15), 0, 140))
        out = rng.normal(0.2, 0.25)
        thighs.append(np.array([out, -np.sin(angle), -np.cos(angle)]))
        shins.append(np.array([out * 0.8, -np.sin(angle - bend), -np.cos(angle - bend)]))
    toes = rng.uniform(0, 50)
    return Legs(_mirrored(*thighs), _mirrored(*shins), (toes, toes), rng.normal(8, 18))


def wheelchair(rng: Random) -> Legs:
    """Sit with both feet on their rests."""
    thighs, shins = [], []
    for _ in range(2):
        thighs.append(np.array([rng.normal(0.06, 0.04), -1, rng.normal(0.0, 0.07)]))
        shins.append(np.array([rng.normal(0.0, 0.04), rng.normal(-0.35, 0.15), -1]))
    return Legs(_mirrored(*thighs), _mirrored(*shins), lean=rng.normal(0, 9))


def ride(rng: Random) -> Legs:
    """Pedal on a bicycle."""
    phase = rng.uniform(0, 2 * np.pi)
    thighs, shins = [], []
    for offset in (0.0, np.pi):
        hip = np.radians(52 + 27 * np.sin(phase + offset))
        knee = np.radians(16 + 14 * np.cos(phase + offset))
        thighs.append(np.array([rng.normal(0.06, 0.03), -np.sin(hip), -np.cos(hip)]))
        shins.append(np.array([rng.normal(0.0, 0.03), np.sin(knee), -np.cos(knee)]))
    toes = rng.uniform(0, 20)
    return Legs(_mirrored(*thighs), _mirrored(*shins), (toes, toes), rng.uniform(10, 55))


def sport(rng: Random) -> Legs:
    """Play, dance, ride or fall: the whole body leans somewhere, sometimes lies."""
    kinds = (_kick, _jump, _lunge, _run, _straddle, _crouch, _any)
    legs = kinds[rng.choice(len(kinds), p=[0.24, 0.14, 0.18, 0.12, 0.1, 0.1, 0.12])](rng)
    around = rng.uniform(0, 2 * np.pi)
    angle = rng.normal(0, 16) if rng.random() < 0.86 else rng.uniform(30, 95)
    legs.tilt = turn(np.cos(around) * LEFT + np.sin(around) * BACK, angle)
    return legs


LEGS = {
    'stand': (0.34, _stand), 'walk': (0.22, _walk), 'run': (0.07, _run), 'sit': (0.13, _sit),
    'crouch': (0.05, _crouch), 'lunge': (0.05, _lunge), 'straddle': (0.03, _straddle),
    'bend': (0.03, _bend), 'any': (0.08, _any),
}  # fmt: skip
