"""Scenes for tests, drawn once."""

import pytest


@pytest.fixture(scope='module')
def scenes(people):
    """Return scenes by name and seed, each made once."""
    from world.scene import Scene

    made = {}

    def get(name, seed=1):
        if (name, seed) not in made:
            made[name, seed] = Scene(seed, name, people=people)
        return made[name, seed]

    return get


@pytest.fixture
def staged(people, monkeypatch):
    """Return a function that makes a scene of a scenario that is given."""

    from world.scenarios import SCENARIOS
    from world.scene import Scene

    def make(write, seed=0, **options):
        monkeypatch.setitem(SCENARIOS, 'staged', write)
        return Scene(seed, 'staged', people=people, **options)

    return make
