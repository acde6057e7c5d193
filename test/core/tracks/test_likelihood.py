"""Which pairs are likely."""

import numpy as np
from figures import ns, poses

from vitpose_ros.core.tracks.likelihood import GAIN, likely_pairs, log_likelihoods
from vitpose_ros.core.tracks.rows import Rows
from vitpose_ros.core.tracks.seen import Seen


def followed(*people, **said):
    """Return rows that begin with people who are seen for some frames."""
    rows, every = Rows(), np.arange(len(people))
    seen = Seen.of(ns(0), poses(*people, **said))
    rows.add([str(i) for i in every], every, seen)
    for _ in range(5):
        rows.predict(1 / 15, 1280, 720)
        rows.see(every, every, seen, rows.fits(every, every, seen), every)
    return rows


def likely(rows, seen):
    i, j = likely_pairs(rows, seen)
    return log_likelihoods(rows, seen, i, j, rows.fits(i, j, seen))


def test_the_same_again_is_most_likely_and_less_so_the_further_it_went():
    rows = followed((300, 300, 200), (700, 300, 200))
    found = [likely(rows, Seen.of(0, poses((300 + x, 300, 200))))[0, 0] for x in (0, 15, 30)]
    assert GAIN >= found[0] > found[1] > found[2] == -np.inf
    table = likely(rows, Seen.of(0, poses((302, 300, 200), (702, 300, 200))))
    assert np.isfinite(np.diag(table)).all() and np.isnan(table[0, 1]) and np.isnan(table[1, 0])


def test_one_who_is_hidden_takes_no_pose_from_one_who_is_seen():
    rows = followed((300, 300, 200), (312, 300, 200))
    rows.filter.state[2, 1, :3] *= 400  # a second of hiding
    table = likely(rows, Seen.of(0, poses((306, 300, 200))))
    assert table[0, 0] > table[1, 0] + 1


def test_a_pose_that_looks_away_is_less_likely():
    rows = followed((300, 300, 200))
    same, turned = (likely(rows, Seen.of(0, poses((300, 300, 200, m))))[0, 0] for m in (0, 1))
    assert same > turned + 1


def test_boxes_stand_in_where_keypoints_cannot_be_compared():
    rows = followed((300, 300, 200))
    other = Seen.of(0, poses((301, 300, 200), skeletons=['mpii']))
    alone = Seen.of(0, poses((301, 300, 200), keypoints=False))
    assert likely(rows, other)[0, 0] > GAIN - 4 and likely(rows, alone)[0, 0] > GAIN - 4
    animal = Seen.of(0, poses((301, 300, 200), skeletons=['ap10k']))
    assert np.isnan(likely(rows, animal)).all()


def test_nobody_and_nothing_have_no_pairs():
    assert likely(Rows(), Seen.of(0, poses())).shape == (0, 0)
    assert likely(Rows(), Seen.of(0, poses((1, 2, 30)))).shape == (0, 1)
    assert likely(followed((300, 300, 200)), Seen.of(0, poses())).shape == (1, 0)
