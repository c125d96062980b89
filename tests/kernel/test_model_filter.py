"""The access router's filter on the model: one test per row of agents/kernel/filter.py's table."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network

import pytest

from agents.core.record import replace
from agents.kernel.model import TUNNEL, ModelKernel
from agents.kernel.model_port import ModelEnforcementPoint, ModelHomeAgent
from agents.kernel.packet import ICMPV6, MOBILITY_HEADER, TCP, UDP, Packet
from agents.kernel.port import AccessLink

ACCESS, CORE = "access", "core"
LINK = AccessLink(ACCESS, IPv6Network("2001:db8:a::/64"))
ROUTER, NODE, OTHER = (IPv6Address(f"2001:db8:a::{n}") for n in (1, 2, 3))
FAR, ELSEWHERE = IPv6Address("2001:db8:100::1"), IPv6Address("2001:db8:e::1")
NEAR, NOWHERE = IPv6Address("fe80::2"), IPv6Address("::")
HOME = IPv6Address("2001:db8:100::1234")


def closed() -> tuple[ModelKernel, ModelEnforcementPoint]:
    kernel = ModelKernel(owns={ROUTER}.__contains__)
    point = ModelEnforcementPoint(kernel, LINK)
    point.close_access()
    return kernel, point


def udp(source, destination, port=4242) -> Packet:
    return Packet(source, destination, UDP, 4242, port)


def icmp(source, destination, kind) -> Packet:
    return Packet(source, destination, ICMPV6, payload=bytes([kind, 0]))


def test_an_open_filter_filters_nothing():
    kernel, point = ModelKernel(), ModelEnforcementPoint(None, LINK)
    for packet in (udp(NODE, FAR), udp(FAR, NODE)):
        assert kernel.forward(packet, ACCESS) == kernel.forward(packet, CORE) == packet
    assert kernel.admits(udp(NODE, ROUTER), ACCESS)
    assert point.passes(NODE)


def test_who_is_authorised_passes_both_ways_until_revoked():
    kernel, point = closed()
    up, down = udp(NODE, FAR), udp(FAR, NODE)
    for allowed in (False, True, False):
        if allowed:
            point.authorise(NODE)
        else:
            point.revoke(NODE)
        assert kernel.forward(up, ACCESS) == (up if allowed else None)
        assert kernel.forward(down, CORE) == (down if allowed else None)
        assert kernel.admits(udp(NODE, ROUTER), ACCESS) is allowed
        assert point.passes(NODE) is allowed
        assert kernel.forward(udp(OTHER, FAR), ACCESS) is None
    point.release()
    assert kernel.forward(up, ACCESS) == up


def test_a_pinhole_is_for_one_port_between_two_hosts():
    kernel, point = closed()
    point.admit(NODE, FAR, 500)
    up, down = udp(NODE, FAR, 500), udp(FAR, NODE, 500)
    assert kernel.forward(up, ACCESS) == up
    assert kernel.forward(down, CORE) == down
    for packet in (
        udp(NODE, FAR),
        udp(OTHER, FAR, 500),
        udp(NODE, ELSEWHERE, 500),
        replace(up, protocol=TCP),
    ):
        assert kernel.forward(packet, ACCESS) is None
    for packet in (udp(FAR, NODE), udp(ELSEWHERE, NODE, 500), udp(FAR, OTHER, 500)):
        assert kernel.forward(packet, CORE) is None
    assert not kernel.admits(udp(NODE, ROUTER, 500), ACCESS)
    point.dismiss(NODE, FAR, 500)
    assert kernel.forward(up, ACCESS) is None
    assert kernel.forward(down, CORE) is None


@pytest.mark.parametrize(
    ("packet", "admitted"),
    [
        (udp(NODE, ROUTER, 716), True),
        (udp(NEAR, ROUTER, 716), False),
        (udp(NOWHERE, ROUTER, 716), False),
        (udp(ELSEWHERE, ROUTER, 716), False),
        (udp(NODE, ROUTER, 547), True),
        (udp(NEAR, ROUTER, 547), True),
        (udp(ELSEWHERE, ROUTER, 547), False),
        (icmp(NODE, ROUTER, 135), True),
        (icmp(NEAR, ROUTER, 133), True),
        (icmp(NOWHERE, ROUTER, 135), True),
        (icmp(ELSEWHERE, ROUTER, 135), False),
        (udp(NODE, ROUTER), False),
        (Packet(NODE, ROUTER, TCP, 716, 716), False),
        (Packet(NODE, ROUTER, MOBILITY_HEADER), False),
    ],
)
def test_what_an_access_router_hears_of_who_is_not_authorised(packet, admitted):
    kernel, _ = closed()
    assert kernel.admits(packet, ACCESS) is admitted


def test_what_is_for_the_router_itself_goes_no_further():
    kernel, _ = closed()
    for packet in (udp(NODE, FAR, 716), udp(NODE, FAR, 547), icmp(NODE, FAR, 128)):
        assert kernel.forward(packet, ACCESS) is None


def test_sources_of_the_access_prefix_come_from_there():
    kernel, point = closed()
    point.authorise(NODE)
    assert not kernel.admits(udp(NODE, ROUTER), CORE)
    assert kernel.forward(udp(NODE, ELSEWHERE), CORE) is None
    assert kernel.admits(udp(FAR, ROUTER), CORE)
    assert kernel.forward(udp(FAR, ELSEWHERE), CORE) == udp(FAR, ELSEWHERE)


@pytest.mark.parametrize(
    ("packet", "leaves"),
    [
        (udp(ROUTER, NODE, 716), True),
        (icmp(ROUTER, NODE, 135), True),
        (icmp(ROUTER, NODE, 128), True),
        (icmp(ROUTER, NODE, 129), False),
        (icmp(ROUTER, NODE, 1), False),
        (icmp(ROUTER, NODE, 127), False),
        (icmp(ROUTER, FAR, 129), True),
        (icmp(ROUTER, FAR, 1), True),
    ],
)
def test_no_answer_to_who_is_not_authorised_carries_what_it_sent(packet, leaves):
    kernel, point = closed()
    assert kernel.output(packet) == (packet if leaves else None)
    point.authorise(NODE)
    assert kernel.output(packet) == packet


def test_neither_does_one_to_a_link_local_address():
    kernel, _ = closed()
    reply = icmp(ROUTER, NEAR, 129)
    assert kernel.output(reply, ACCESS) is None
    assert kernel.output(reply, CORE) == reply
    assert kernel.output(icmp(ROUTER, NEAR, 136), ACCESS)


def test_a_filter_begins_with_nothing_of_the_one_before_it():
    kernel, point = closed()
    point.authorise(NODE)
    point.admit(OTHER, FAR, 500)
    point.close()
    assert kernel.forward(udp(NODE, FAR), ACCESS)
    successor = ModelEnforcementPoint(kernel, LINK)
    assert successor.authorised == {NODE}
    successor.close_access()
    assert (successor.authorised, successor.pinholes) == (set(), set())
    assert kernel.forward(udp(NODE, FAR), ACCESS) is None
    assert kernel.forward(udp(OTHER, FAR, 500), ACCESS) is None


def test_a_home_agent_in_the_access_router_serves_who_is_authorised():
    kernel, point = closed()
    agent = ModelHomeAgent(kernel, ROUTER)
    agent.prepare()
    agent.bind(HOME, NODE, None)
    inner = udp(HOME, FAR)
    up = inner.encapsulated(NODE, ROUTER)
    assert not kernel.admits(up, ACCESS)
    assert kernel.forward(udp(FAR, HOME), CORE) == udp(FAR, HOME).encapsulated(ROUTER, NODE)
    point.authorise(NODE)
    assert kernel.admits(up, ACCESS)
    assert kernel.input(up) == inner
    assert kernel.forward(inner, TUNNEL) == inner
