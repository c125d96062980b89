"""What the model of the kernel counts, and in whose name."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.core.usage import Usage
from agents.kernel.model import ModelKernel
from agents.kernel.model_port import ModelEnforcementPoint, ModelHomeAgent, ModelMeter
from agents.kernel.packet import IPV6, UDP, Packet
from agents.kernel.port import AccessLink, KernelError

ACCESS, CORE = "access", "core"
LINK = AccessLink(ACCESS, IPv6Network("2001:db8:a::/64"))
ROUTER, NODE, OTHER = (IPv6Address(f"2001:db8:a::{n}") for n in (1, 2, 3))
ELSEWHERE = IPv6Address("2001:db8:e::1")
FAR, HOME, AGENT = (IPv6Address(f"2001:db8:100::{n}") for n in ("9", "1234", "1"))


def made() -> tuple[ModelKernel, ModelMeter]:
    kernel = ModelKernel(owns={ROUTER, AGENT}.__contains__, size=lambda p: 40 + len(p.payload))
    point = ModelEnforcementPoint(kernel, LINK)
    point.close_access()
    for address in (NODE, OTHER):
        point.authorise(address)
    return kernel, ModelMeter(kernel)


def packet(source: IPv6Address, destination: IPv6Address, length: int = 10) -> Packet:
    return Packet(source, destination, UDP, 1, 2, bytes(length))


def test_what_passes_is_counted_in_either_direction_from_then_on():
    kernel, meter = made()
    assert kernel.forward(packet(NODE, FAR), ACCESS)
    meter.count(NODE)
    assert kernel.forward(packet(NODE, FAR, 1), ACCESS)
    assert kernel.admits(packet(NODE, ROUTER, 2), ACCESS)
    assert kernel.forward(packet(FAR, NODE, 3), CORE)
    assert kernel.output(packet(ROUTER, NODE, 4))
    assert kernel.forward(packet(OTHER, FAR, 5), ACCESS)
    assert meter.usage(NODE) == Usage(40 + 1 + 40 + 2, 2, 40 + 3 + 40 + 4, 2)
    with pytest.raises(KernelError):
        meter.usage(OTHER)
    meter.count(NODE)  # Twice is once.
    assert meter.usage(NODE).input_packets == 2
    meter.forget(NODE)
    meter.count(NODE)
    assert meter.usage(NODE) == Usage()


def test_what_goes_from_one_to_another_is_counted_for_both():
    kernel, meter = made()
    for address in (NODE, OTHER):
        meter.count(address)
    assert kernel.forward(packet(NODE, OTHER), ACCESS)
    assert meter.usage(NODE) == Usage(50, 1, 0, 0)
    assert meter.usage(OTHER) == Usage(0, 0, 50, 1)


def test_a_source_from_elsewhere_is_charged_to_nobody():
    kernel, meter = made()
    meter.count(NODE)
    assert kernel.forward(packet(NODE, FAR), CORE) is None
    assert meter.usage(NODE) == Usage()


ways = st.sampled_from(["up", "down", "to router", "from router", "other"])


@given(st.lists(st.tuples(ways, st.integers(0, 1400)), max_size=40))
def test_no_more_is_counted_than_has_passed(sent):
    kernel, meter = made()
    meter.count(NODE)
    came: list[int] = []
    went: list[int] = []
    for way, length in sent:
        match way:
            case "up" if kernel.forward(packet(NODE, FAR, length), ACCESS):
                came.append(length)
            case "to router" if kernel.admits(packet(NODE, ROUTER, length), ACCESS):
                came.append(length)
            case "down" if kernel.forward(packet(FAR, NODE, length), CORE):
                went.append(length)
            case "from router" if kernel.output(packet(ROUTER, NODE, length)):
                went.append(length)
            case "other":
                kernel.forward(packet(OTHER, FAR, length), ACCESS)
    counted = meter.usage(NODE)
    assert counted.input_octets == sum(40 + one for one in came)
    assert counted.output_octets == sum(40 + one for one in went)
    assert (counted.input_packets, counted.output_packets) == (len(came), len(went))


def test_a_home_agent_counts_what_is_in_its_tunnels():
    kernel, _ = made()
    agent = ModelHomeAgent(kernel, AGENT)
    assert agent.usage(HOME) is None
    agent.bind(HOME, FAR, None)
    assert kernel.forward(packet(ELSEWHERE, HOME, 7), "home").inner
    tunnelled = Packet(FAR, AGENT, IPV6, inner=packet(HOME, OTHER, 9))
    assert kernel.input(tunnelled)
    assert kernel.input(Packet(FAR, AGENT, IPV6, inner=packet(NODE, OTHER, 9))) is None
    agent.bind(HOME, NODE, None)  # It has moved.
    assert agent.usage(HOME) == Usage(49, 1, 47, 1)
    agent.unbind(HOME)
    assert agent.usage(HOME) == Usage(49, 1, 47, 1)
    assert agent.usage(HOME) is None  # Of what is over it is told once.
    agent.bind(HOME, FAR, None)
    assert agent.usage(HOME) == Usage()
    agent.unbind(HOME)
    agent.forget(HOME)
    assert agent.usage(HOME) is None
