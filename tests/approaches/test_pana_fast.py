"""Which shortcuts may be combined, and what the composition tells each role."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from agents.approaches import pana_fast
from agents.eap.wire import Packet, TlsData, Type
from agents.nodes.access_router.machine import _FIRST_REQUESTS
from topologies.paper import TOPOLOGY


def settings(**values):
    return msgspec.convert(values, pana_fast.Settings)


def roles(**values):
    """Return the configurations by host."""
    composed = pana_fast.compose(settings(**values), TOPOLOGY, Path("shared"), Path("run"))
    return {role.host: role.configuration for role in composed}


def test_every_shortcut_is_on():
    made = roles()
    assert [made[host]["early"] for host in "ABC"] == [True] * 3
    assert (made["B"]["start"], made["B"]["first_request"]) == ("optimized", "tls")
    assert made["C"]["pick_up"]
    assert {made[host]["protection"] for host in "AC"} == {"sealed"}
    assert {made[host]["psk_source"] for host in "AC"} == {"emsk"}
    assert not made["C"]["home_agent"]["duplicate_address_detection"]


def test_each_can_be_taken_back():
    made = roles(early=False, first_request="identity", pana_start="stateless")
    assert [made[host]["early"] for host in "ABC"] == [False] * 3
    assert (made["B"]["start"], made["B"]["first_request"]) == ("stateless", "identity")
    assert not made["C"]["pick_up"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"protection": "none"},
        {"psk_source": "msk"},
        {"ike": {"authentication": "eap"}},
        {"first_request": "md5"},
    ],
)
def test_what_would_not_be_safe_is_refused(wrong):
    with pytest.raises(msgspec.ValidationError):
        settings(**wrong)


def test_without_an_early_start_the_key_may_come_from_the_msk():
    assert settings(early=False, psk_source="msk", protection="none").psk_source == "msk"


def test_first_requests():
    identity = Packet.decode(_FIRST_REQUESTS["identity"](7))
    start = Packet.decode(_FIRST_REQUESTS["tls"](8))
    assert (identity.type, identity.identifier) == (Type.IDENTITY, 7)
    assert (start.type, start.identifier) == (Type.TLS, 8)
    assert TlsData.decode(start.data) == TlsData(start=True)
