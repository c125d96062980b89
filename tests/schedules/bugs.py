"""Mistakes put in on purpose, to show that schedules find such ones."""

from contextlib import contextmanager
from unittest.mock import patch

from agents.aaa.leases import Leases
from agents.core.record import replace
from agents.ike.half_open import HalfOpen
from agents.kernel.model import UPDATE, ModelKernel


@contextmanager
def auth_is_not_checked():
    """IKEv2's responder takes any AUTH by a shared key."""
    with patch("agents.ikev2.ike_auth_responder.check_psk", lambda *_: None):
        yield


@contextmanager
def leases_are_forgotten():
    """A home AAA server that is started again has no leases, and gives the addresses once more."""
    usual = Leases.__init__

    def forgetful(self, path, *arguments, **options):
        for old in path.parent.glob(f"{path.name}*"):
            old.unlink()
        usual(self, path, *arguments, **options)

    with patch.object(Leases, "__init__", forgetful):
        yield


@contextmanager
def updates_in_clear_are_taken():
    """A home agent's kernel takes Binding Updates that no SA protects."""
    usual = ModelKernel.input

    def careless(self, packet):
        if packet.kind == UPDATE and packet.esp is None and packet.home_address:
            return replace(packet, source=packet.home_address, home_address=None)
        return usual(self, packet)

    with patch.object(ModelKernel, "input", careless):
        yield


@contextmanager
def half_open_is_not_limited():
    """IKE keeps as many negotiations of one address as it begins."""
    with patch.object(HalfOpen, "giving_way", lambda *_: None):
        yield


BUGS = {
    "AUTH is not checked": (auth_is_not_checked, 5),
    "leases are forgotten": (leases_are_forgotten, 1),
    "updates in clear are taken": (updates_in_clear_are_taken, 4),
}
"""Each with the invariant that tells of it."""
