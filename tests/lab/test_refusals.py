"""What a kernel refuses once is done when it is asked for again, and leaves nothing behind.

Every request of an operation is refused in turn; the kernel carries out the others, as it does.

    mip6lab exec --lab uml -- .venv/bin/pytest tests/lab/test_refusals.py
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from ipaddress import IPv6Address
from itertools import count

import pytest

from agents.core.usage import Usage
from agents.kernel.home_agent import LinuxHomeAgent
from agents.kernel.meter import LinuxMeter
from agents.kernel.netlink import NetlinkSocket, Request
from agents.kernel.port import KernelError
from tests.lab.mobility_network import ANOTHER, CARE_OF, HOME_ADDRESS, HOME_AGENT, OTHER_CARE_OF
from tests.lab.namespaces import Host
from tests.lab.needs import needs

pytestmark = needs("esp6", "mip6", "ip6_tunnel", "cls_flower")

HOME, SECOND = IPv6Address(HOME_ADDRESS), IPv6Address(ANOTHER)
HERE, THERE = IPv6Address(CARE_OF), IPv6Address(OTHER_CARE_OF)
LINK_LOCAL, OTHER_LINK_LOCAL = IPv6Address("fe80::1234"), IPv6Address("fe80::5678")


@pytest.fixture
def host() -> Iterator[Host]:
    host = Host("alone")
    host.run("ip link add home type veth peer name other")
    host.run("sysctl -qw net.ipv6.conf.all.forwarding=1 net.ipv6.conf.home.proxy_ndp=1")
    yield host
    host.close()


@contextmanager
def refusing(number: int) -> Iterator[list[str]]:
    """Have the kernel refuse one request of those to come; yields its name when that is done."""
    transact, seen = NetlinkSocket.transact, 0
    refused: list[str] = []

    def partly(self: NetlinkSocket, requests: Sequence[Request]) -> None:
        nonlocal seen
        first, seen = seen, seen + len(requests)
        others = list(requests)
        if first <= number < seen:
            refused.append(others.pop(number - first).name)
        transact(self, others)
        if len(others) < len(requests):
            raise KernelError(errno.ENOBUFS, f"{refused[0]}: no buffer space available")

    with pytest.MonkeyPatch.context() as patch, suppress(KernelError):
        patch.setattr(NetlinkSocket, "transact", partly)
        yield refused


def made_by_a_home_agent(host: Host) -> tuple[object, ...]:
    """Return its tunnels and what they lead to, whom it defends, and by where it takes packets."""
    tunnels = {
        words[0].rstrip(":"): words[words.index("remote") + 1]
        for words in map(str.split, host.run("ip -6 tunnel show").splitlines())
        if words[0].startswith("bc")
    }
    routes = [line.split() for line in host.run("ip -6 route show").splitlines()]
    led = sorted(
        (words[0], tunnels[device])
        for words in routes
        if (device := words[words.index("dev") + 1]) in tunnels
    )
    proxies = sorted(line.split()[0] for line in host.run("ip -6 neigh show proxy").splitlines())
    states = " ".join(host.run("ip xfrm state").split()).split("src ")
    doors = sorted((s.split()[0], s.split("coa ")[1].split()[0]) for s in states if "hao" in s)
    return sorted(tunnels.values()), led, proxies, doors


def kept(care_of: IPv6Address, link_local: IPv6Address | None) -> Callable[[LinuxHomeAgent], None]:
    return lambda kernel: kernel.bind(HOME, care_of, link_local)


@pytest.mark.parametrize(
    ("before", "after", "shared"),
    [
        (lambda _: None, kept(HERE, LINK_LOCAL), False),
        (kept(HERE, LINK_LOCAL), kept(THERE, None), False),
        (kept(HERE, LINK_LOCAL), kept(THERE, OTHER_LINK_LOCAL), True),
        (kept(HERE, LINK_LOCAL), lambda kernel: kernel.unbind(HOME), False),
    ],
    ids=["bind", "move", "move out of a shared tunnel", "unbind"],
)
def test_a_refusal_leaves_a_binding_as_it_was_and_the_next_try_makes_it_whole(
    host: Host,
    before: Callable[[LinuxHomeAgent], None],
    after: Callable[[LinuxHomeAgent], None],
    shared: bool,
) -> None:
    """`shared`: another home address is behind the same care-of address."""
    kernel = host.inside(lambda: LinuxHomeAgent(IPv6Address(HOME_AGENT), "home"))
    if shared:
        host.inside(lambda: kernel.bind(SECOND, HERE, None))
    nothing = made_by_a_home_agent(host)
    host.inside(lambda: before(kernel))
    old = made_by_a_home_agent(host)
    host.inside(lambda: after(kernel))
    new = made_by_a_home_agent(host)
    for number in count():
        host.inside(lambda: kernel.unbind(HOME))
        host.inside(lambda: before(kernel))
        with refusing(number) as refused:
            host.inside(lambda: after(kernel))
        if not refused:
            break
        if new != nothing:
            assert made_by_a_home_agent(host) == old, refused
        host.inside(lambda: after(kernel))
        assert made_by_a_home_agent(host) == new, refused
    assert number > 3
    host.inside(lambda: kernel.unbind(HOME))
    assert made_by_a_home_agent(host) == nothing
    kernel.close()


def test_a_binding_that_could_not_be_put_back_is_made_whole_by_the_next(host: Host) -> None:
    transact = NetlinkSocket.transact

    def without_routes(self: NetlinkSocket, requests: Sequence[Request]) -> None:
        transact(self, [request for request in requests if request.name != "add route"])
        if any(request.name == "add route" for request in requests):
            raise KernelError(errno.ENOBUFS, "add route: no buffer space available")

    def work() -> LinuxHomeAgent:
        kernel = LinuxHomeAgent(IPv6Address(HOME_AGENT), "home")
        for home in (HOME, SECOND):
            kernel.bind(home, HERE, None)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(NetlinkSocket, "transact", without_routes)
            with pytest.raises(KernelError):
                kernel.bind(HOME, THERE, None)
        kernel.bind(HOME, THERE, None)
        return kernel

    kernel = host.inside(work)
    _, led, _, _ = made_by_a_home_agent(host)
    assert led == sorted([(HOME_ADDRESS, OTHER_CARE_OF), (ANOTHER, CARE_OF)])
    for home in (HOME, SECOND):
        host.inside(lambda home=home: kernel.unbind(home))
    assert made_by_a_home_agent(host) == ([], [], [], [])
    kernel.close()


def test_an_address_is_counted_after_a_refusal_and_forgotten_after_another(host: Host) -> None:
    def counters() -> int:
        shown = [host.run(f"tc filter show dev home {way}") for way in ("ingress", "egress")]
        return sum(text.count(HOME_ADDRESS) for text in shown)

    meter = host.inside(lambda: LinuxMeter("home"))
    for number in range(2):
        with refusing(number) as refused:
            host.inside(lambda: meter.count(HOME))
        assert refused
        assert counters() == 1
        with pytest.raises(KernelError, match="is not counted"):
            meter.usage(HOME)
        host.inside(lambda: meter.count(HOME))
        assert counters() == 2
        assert host.inside(lambda: meter.usage(HOME)) == Usage()
        with refusing(number) as refused:
            host.inside(lambda: meter.forget(HOME))
        assert refused
        host.inside(lambda: meter.forget(HOME))
        assert counters() == 0
    meter.close()
