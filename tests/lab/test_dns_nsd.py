"""Home agents from NSD, and through Unbound, on real sockets. Each host is a network namespace."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import tomli_w

from tests.lab.namespaces import DEADLINE, Scene, wait_until
from tests.lab.needs import needs

SERVER, RESOLVER = "2001:db8:c::53", "2001:db8:c::54"
HA1, HA2, HA3 = "2001:db8:100::1", "2001:db8:100::2", "2001:db8:200::3"
ZONES = [
    {
        "domain": "home.test",
        "home_agents": [
            {"name": "ha2.home.test", "addresses": [HA2], "priority": 20},
            {"name": "ha1.home.test", "addresses": [HA1], "priority": 10},
        ],
    },
    {"domain": "lean.test", "home_agents": [{"name": "ha3.other.test"}]},
    {"domain": "other.test", "hosts": {"ha3.other.test": [HA3]}},
    {
        "domain": "many.test",
        "home_agents": [
            {"name": f"ha{n}.many.test", "addresses": [HA1], "priority": n} for n in range(40)
        ],
    },
]

# The iterator alone looks for no signatures; `test` is nobody's by default (RFC 6761).
UNBOUND = f"""
server:
  interface: {RESOLVER}
  access-control: ::/0 allow
  module-config: "iterator"
  local-zone: "test." nodefault
  do-daemonize: no
  use-syslog: no
  username: ""
  chroot: ""
  pidfile: ""
remote-control:
  control-enable: no
""" + "".join(f"stub-zone:\n  name: {zone['domain']}\n  stub-addr: {SERVER}\n" for zone in ZONES)

pytestmark = needs("nsd")


class Network(Scene):
    """Mobile node A and DNS server D."""

    def __init__(self, folder: Path) -> None:
        super().__init__("a", "d")
        self.a, self.d = self.hosts
        self.folder = folder
        self.a.link("A-eth0", self.d, "D-eth0")
        self.a.run("ip -6 addr add 2001:db8:c::a/64 dev A-eth0 nodad")
        self.d.run(f"ip -6 addr add {SERVER}/64 dev D-eth0")
        work = folder / "nsd"
        work.mkdir()
        settings = {"host": "D", "address": SERVER, "work": str(work), "zones": ZONES}
        path = folder / "server.toml"
        path.write_text(tomli_w.dumps(settings))
        self.server = self.start(self.d, "agents.daemons.nsd", str(path))
        self.server.wait_for("Ready")

    def resolve(self) -> subprocess.Popen[bytes]:
        """Start Unbound and wait until it serves."""
        unbound = shutil.which("unbound", path="/usr/sbin:/usr/bin")
        if unbound is None:
            pytest.skip("unbound is not installed")
        self.d.run(f"ip -6 addr add {RESOLVER}/64 dev D-eth0 nodad")
        settings = self.folder / "unbound.conf"
        settings.write_text(UNBOUND)
        log = self.folder / "unbound.log"
        with log.open("wb") as output:
            process = self.d.popen([unbound, "-d", "-c", str(settings)], stderr=output)
        wait_until(lambda: "start of service" in log.read_text(), "Unbound serves")
        return process

    def ask(self, server: str = SERVER, **question: str) -> dict[str, object]:
        options = json.dumps({"server": server, **question})
        program = self.start(self.a, "tests.lab.discovery_host", "lookup", options)
        outcome = program.wait_for("HomeAgentsFound", "Failed")
        program.close()
        return outcome


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    network = Network(tmp_path)
    yield network
    network.close()


def test_nsd_tells_the_home_agents_by_service_and_by_name(network: Network) -> None:
    assert network.ask(domain="home.test")["home_agents"] == [
        {"fqdn": "ha1.home.test", "addresses": [HA1]},
        {"fqdn": "ha2.home.test", "addresses": [HA2]},
    ]
    lean = network.ask(domain="lean.test")
    assert lean["home_agents"] == [{"fqdn": "ha3.other.test", "addresses": [HA3]}]
    by_name = network.ask(host="ha2.home.test")
    assert by_name["home_agents"] == [{"fqdn": "ha2.home.test", "addresses": [HA2]}]
    missing = network.ask(domain="other.test")
    assert missing["reason"] == "no home agent at _mip6._ipv6.other.test: NXDOMAIN"
    refused = network.ask(domain="elsewhere.test")
    assert refused["reason"] == (
        "no usable answer about _mip6._ipv6.elsewhere.test within 5 s: REFUSED"
    )


def test_what_does_not_fit_into_a_datagram_comes_by_tcp(network: Network) -> None:
    first, *_ = network.ask(domain="many.test")["home_agents"]  # type: ignore[misc]
    assert first == {"fqdn": "ha0.many.test", "addresses": [HA1]}


def test_home_agents_are_found_through_unbound(network: Network) -> None:
    resolver = network.resolve()
    try:
        # It adds no addresses by itself, and who has one home agent asks for no other.
        assert network.ask(RESOLVER, domain="home.test")["home_agents"] == [
            {"fqdn": "ha1.home.test", "addresses": [HA1]},
            {"fqdn": "ha2.home.test", "addresses": []},
        ]
        lean = network.ask(RESOLVER, domain="lean.test")  # What it refers to is another zone's.
        assert lean["home_agents"] == [{"fqdn": "ha3.other.test", "addresses": [HA3]}]
        missing = network.ask(RESOLVER, domain="other.test")
        assert missing["reason"] == "no home agent at _mip6._ipv6.other.test: NXDOMAIN"
        first, *_ = network.ask(RESOLVER, domain="many.test")["home_agents"]  # type: ignore[misc]
        assert first == {"fqdn": "ha0.many.test", "addresses": [HA1]}
    finally:
        resolver.terminate()
        resolver.wait(DEADLINE)


def test_the_server_ends_with_its_role(network: Network) -> None:
    daemon = int(str(network.server.events[-1]["daemon"]))
    assert network.server.stop() == 0
    assert not Path(f"/proc/{daemon}").exists()
    silence = network.ask(domain="home.test")
    assert silence["event"] == "Failed"
