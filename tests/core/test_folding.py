"""Case in names of ASCII."""

import pytest

from agents.aaa.leases import Leases
from agents.aaa.subscribers import AddressRange, parse
from agents.core.folding import ascii_lower
from agents.diameter.config import PeerConfig, same_identity
from agents.eap.names import find_identity, same_host


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("AAA.Home.Test", "aaa.home.test"),
        ("\u212aelvin.test", "\u212aelvin.test"),  # Not "kelvin.test".
        ("\u0130\u00c4Z", "\u0130\u00c4z"),
        ("", ""),
    ],
)
def test_only_a_to_z_are_folded(text, folded):
    assert ascii_lower(text) == folded


KELVIN = "mn@\u212aelvin.test"
SUBSCRIBERS = """
[[subscribers]]
identity = "mn@kelvin.test"
mobility = false
"""


def test_a_name_beyond_ascii_is_no_subscribers():
    subscribers = parse(SUBSCRIBERS)
    assert subscribers.find("mn@KELVIN.test") is not None
    assert subscribers.find(KELVIN) is None
    assert subscribers.find("MN@kelvin.test") is None  # A user's case counts (RFC 7542).


def test_a_certificates_name_beyond_ascii_is_not_the_claimed_one():
    assert find_identity("mn@kelvin.test", ("mn@Kelvin.test",)) == "mn@Kelvin.test"
    assert find_identity("mn@kelvin.test", (KELVIN,)) is None
    assert find_identity("@kelvin.test", (KELVIN,)) is None
    assert not same_host("\u212aelvin.test", "kelvin.test")
    assert same_host("Kelvin.test.", "kelvin.test")


def test_a_lease_is_that_of_the_name_in_ascii(tmp_path):
    pool = AddressRange.parse("2001:db8:100::10-2001:db8:100::20")
    with Leases(tmp_path / "leases.db") as leases:
        assert leases.lease("mn@kelvin.test", "ha1", pool) == leases.lease(
            "mn@KELVIN.test", "ha1", pool
        )
        assert leases.find(KELVIN) is None


def test_diameter_identities():
    assert same_identity("AAA.Home.Test", "aaa.home.test")
    assert not same_identity("\u212aelvin.test", "kelvin.test")
    assert not PeerConfig("relay.test", "test", relays=("\u212aelvin.test",)).relays_for(
        "kelvin.test"
    )
