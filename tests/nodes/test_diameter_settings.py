"""Diameter peers as a role's configuration has them."""

from __future__ import annotations

from ipaddress import IPv6Address

import msgspec
import pytest

from agents.diameter.config import PeerConfig
from agents.nodes.diameter_settings import DiameterPeer, node_config


def test_what_the_node_is_told():
    peers = (
        DiameterPeer(host="b.test", realm="test", sources=("2001:db8:b::1",), relays=("far.test",)),
        DiameterPeer(host="c.test", realm="test", address="::1"),
    )
    config = node_config("aaa.test", "test", peers)
    assert config.peers == (
        PeerConfig("b.test", "test", None, (IPv6Address("2001:db8:b::1"),), ("far.test",)),
        PeerConfig("c.test", "test", ("::1", 3868)),
    )
    assert config.peers[1].origins(tls=False) == (IPv6Address("::1"),)
    assert config.peers[1].origins(tls=True) == ()


def test_a_source_that_is_no_address_is_refused():
    plain = {"host": "b.test", "realm": "test", "sources": ["b.test"]}
    with pytest.raises(msgspec.ValidationError, match=r"b\.test"):
        msgspec.convert(plain, DiameterPeer)
