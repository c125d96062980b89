"""What a program's host on the virtual clock keeps of what was opened."""

from __future__ import annotations

import gc
import weakref
from functools import partial

import pytest

from tests.nodes.simulated import INTERFACE, Network, Node
from tests.pana.fakes import PAA


class User:
    """Who opens something."""

    def receive(self, *_given):
        """Hear what comes."""


@pytest.fixture
def network():
    return Network()


@pytest.fixture
def host(network):
    return Node(network, "A").host


def opened(host):
    """Return functions that open something for a user, by what that is."""
    return {
        "datagrams": partial(host.open_datagrams, ("::", 0)),
        "link": partial(host.open_link, INTERFACE),
        "sas": host.watch_sas,
        "acquires": host.watch_acquires,
        "question": partial(host.exchange, b"?", ("::", 0), PAA),
        "streams": host.open_streams,
    }


@pytest.mark.parametrize("kind", ["datagrams", "link", "sas", "acquires", "question", "streams"])
def test_what_is_closed_is_forgotten(network, host, kind):
    users = weakref.WeakSet()
    for _ in range(10):
        user = User()
        users.add(user)
        opened(host)[kind](user if kind == "streams" else user.receive).close()
    del user
    network.run(1.0)
    gc.collect()
    assert len(users) <= 1  # The last one, until another is opened.
