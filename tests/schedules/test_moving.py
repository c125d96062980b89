"""Movements at moments that a schedule seldom has, and what the mobile node hears after them."""

import pytest

from agents.simulation.public_keys import without_diffie_hellman
from agents.simulation.world import World
from tests.schedules.carried_out import start_others
from tests.schedules.invariants import Watch
from tests.schedules.scenes import scene


class Moving:
    """The network of a scene, with a mobile node that is registered."""

    def __init__(self, name):
        self.told = []
        here, self.world = scene(name), World(1, record=False)
        watch = Watch(here, lambda now, host, _, event, __: self.told.append((host, event, now)))
        self.lab = here.laboratory(self.world, watch.log)
        watch.attach(self.lab)
        mobile = start_others(self.lab, self.lab.run)
        self._interface = self.lab.stacks["A"].interfaces["A-access"]
        mobile["A"].start(lambda: None)
        self.until("A", "Bootstrapped")
        self.run(5.0)

    def run(self, seconds):
        self.lab.run(self.world.clock.now + seconds)

    def until(self, host, event):
        """Let time pass until a program tells this once more."""
        before = len(self.times(host, event))
        done = self.lab.run(
            self.world.clock.now + 60.0, lambda: len(self.times(host, event)) > before
        )
        assert done, f"no {event} of {host}"

    def times(self, host, event):
        """Return when a program has told of something."""
        return [now for who, what, now in self.told if (who, what) == (host, event)]

    def move(self, link):
        self._interface.move(self.lab.links[link])


@pytest.mark.parametrize("name", ["static moving", "pana-ikev2 moving", "pana-fast moving"])
def test_there_and_back_just_when_the_home_agent_has_made_new_sas(name):
    """It protects its answers with those, which the mobile node never gets."""
    with without_diffie_hellman():
        moving = Moving(name)
        moving.move("access2")
        moving.until("C", "IkeEstablished")
        moving.move("access")
        came_back = moving.world.clock.now
        moving.run(100.0)
    accepted = [at for at in moving.times("A", "BindingAccepted") if at > came_back]
    assert accepted[0] < came_back + 10.0
    assert len(accepted) > 2
