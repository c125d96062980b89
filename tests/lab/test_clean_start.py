"""A program that is killed at any transaction with its kernel leaves nothing to the next one.

mip6lab exec --lab uml -- .venv/bin/pytest tests/lab/test_clean_start.py
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from ipaddress import IPv6Address, IPv6Network
from itertools import count
from typing import Any

import pytest

from agents.kernel.filter import LinuxEnforcementPoint
from agents.kernel.home_agent import LinuxHomeAgent
from agents.kernel.mobile_node import LinuxMobileNode
from agents.kernel.netlink import NetlinkSocket
from agents.kernel.port import AccessLink
from tests.lab.mobility_host import pair
from tests.lab.mobility_network import CARE_OF, CORRESPONDENT, HOME_ADDRESS, HOME_AGENT
from tests.lab.namespaces import Host
from tests.lab.needs import needs
from tests.lab.test_mobility import everything

Step = Callable[[], object]
HOME, AGENT, AWAY = IPv6Address(HOME_ADDRESS), IPv6Address(HOME_AGENT), IPv6Address(CARE_OF)


class KilledError(BaseException):
    """Ends what a program does, wherever it is."""


def mobile_node() -> tuple[Any, list[Step]]:
    kernel = LinuxMobileNode()
    return kernel, [
        kernel.clear,
        lambda: kernel.prepare(HOME, AGENT, AWAY),
        lambda: kernel.install(pair(HOME, at_agent=False)),
        kernel.open_tunnel,
    ]


def home_agent() -> tuple[Any, list[Step]]:
    kernel = LinuxHomeAgent(AGENT, "home")
    return kernel, [
        kernel.prepare,
        lambda: kernel.install(pair(HOME, at_agent=True)),
        lambda: kernel.reach(HOME, AWAY),
        lambda: kernel.bind(HOME, AWAY, IPv6Address("fe80::1234")),
    ]


def access_router() -> tuple[Any, list[Step]]:
    kernel = LinuxEnforcementPoint(AccessLink("home", IPv6Network("2001:db8:a::/64")))
    return kernel, [
        kernel.close_access,
        lambda: kernel.authorise(AWAY),
        lambda: kernel.admit(AWAY, IPv6Address(CORRESPONDENT), 500),
    ]


MOBILITY = needs("esp6", "mip6", "ip6_tunnel", "rpfilter")
ROLES = [
    pytest.param(mobile_node, id="mobile node", marks=MOBILITY),
    pytest.param(home_agent, id="home agent", marks=MOBILITY),
    pytest.param(access_router, id="access router", marks=needs("policy_routing")),
]


@pytest.fixture
def host() -> Iterator[Host]:
    host = Host("host")
    host.run("ip link add home type veth peer name other")
    host.run(f"ip -6 address add {HOME_AGENT}/64 dev home nodad")
    yield host
    host.close()


@pytest.mark.parametrize("role", ROLES)
def test_whenever_a_program_is_killed_the_next_one_begins_as_the_first(
    host: Host, monkeypatch: pytest.MonkeyPatch, role: Callable[[], tuple[Any, list[Step]]]
) -> None:
    carry_out = NetlinkSocket.transact

    def life(most: int) -> bool:
        """Begin, and set up all, in so many transactions at most; return whether they do."""
        left = iter(range(most))

        def transact(self: NetlinkSocket, requests: Any) -> None:
            if requests and next(left, None) is None:
                raise KilledError
            carry_out(self, requests)

        monkeypatch.setattr(NetlinkSocket, "transact", transact)
        kernel, steps = role()
        with closing(kernel):
            try:
                for step in steps:
                    step()
            except KilledError:
                return False
            finally:
                monkeypatch.setattr(NetlinkSocket, "transact", carry_out)
        return True

    def begin() -> None:
        """Begin, and do nothing else."""
        kernel, steps = role()
        with closing(kernel):
            steps[0]()

    host.inside(begin)
    fresh = everything(host)
    assert host.inside(lambda: life(1000))
    assert everything(host) != fresh
    for most in count():
        is_whole = host.inside(partial(life, most))  # In what the one before has left.
        host.inside(begin)
        assert everything(host) == fresh, most
        if is_whole:
            break
        assert host.inside(lambda: life(1000))
    assert most >= 3  # Each of a program's calls is one transaction or more.
