"""freeDiameter as a relay between our nodes: realms, two servers of one, and one that goes away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from ipaddress import ip_address
from pathlib import Path

import pytest
import tomli_w

from agents.core.later import Later
from agents.core.record import replace
from agents.diameter import dictionary as d
from agents.diameter.config import DiameterTimers, NodeConfig, PeerConfig
from agents.diameter.errors import DiameterError, ResultCode
from agents.diameter.events import DuplicateReceived, RequestReceived
from agents.diameter.wire import Message
from tests.diameter.running import Running, running
from tests.diameter.samples import ANSWER, CLIENT, CLIENT_REALM, REQUEST
from tests.lab.namespaces import Scene
from tests.lab.needs import needs

RELAY, RELAY_ADDRESS = "relay.visited.test", "2001:db8:f::1"
FIRST, SECOND, FAR = "aaa1.home.test", "aaa2.home.test", "aaa.far.test"
ADDRESSES = {FIRST: "2001:db8:f::21", SECOND: "2001:db8:f::22", FAR: "2001:db8:f::23"}
TIMERS = DiameterTimers(watchdog=6.0)

pytestmark = needs("freeDiameterd", "namespaces", "veth")


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """freeDiameter on one host, on another the addresses of our nodes."""
    made = Scene("relay", "nodes")
    relay, nodes = made.hosts
    try:
        relay.link("relay0", nodes, "nodes0")
        relay.run(f"ip addr add {RELAY_ADDRESS}/64 dev relay0 nodad")
        for address in ADDRESSES.values():
            nodes.run(f"ip addr add {address}/64 dev nodes0 nodad")
        path = tmp_path / "relay.toml"
        path.write_text(
            tomli_w.dumps(
                {
                    "host": "R",
                    "diameter_identity": RELAY,
                    "diameter_realm": "visited.test",
                    "address": RELAY_ADDRESS,
                    "clients": [CLIENT],
                    "home": [
                        {"host": h, "realm": realm_of(h), "address": a}
                        for h, a in ADDRESSES.items()
                    ],
                    "diameter_watchdog": 6.0,
                    "work": str(tmp_path),
                }
            )
        )
        made.start(relay, "agents.daemons.freediameter", str(path))
        yield made
    finally:
        made.close()


def realm_of(host: str) -> str:
    return host.partition(".")[2]


class Silence(Later[Message]):
    """An answer that does not come."""


def answering(host: str) -> Callable[[Message], Message]:
    answer = replace(ANSWER, origin_host=host, origin_realm=realm_of(host), origin_state_id=None)

    def serve(message: Message) -> Message:
        session_id = d.SESSION_ID.need(message.avps)
        return replace(answer, session_id=session_id).to_message()

    return serve


@asynccontextmanager
async def nodes(silent: str | None = None) -> AsyncIterator[tuple[Running, dict[str, Running]]]:
    """Run the client and the servers; a silent one takes requests and answers none."""
    relays = PeerConfig(
        RELAY, CLIENT_REALM, sources=(ip_address(RELAY_ADDRESS),), relays=(CLIENT_REALM,)
    )
    way = PeerConfig(RELAY, CLIENT_REALM, (RELAY_ADDRESS, 3868), relays=("*",))
    async with AsyncExitStack() as stack:
        servers = {}
        for host, address in ADDRESSES.items():
            config = NodeConfig(host, realm_of(host), (relays,), timers=TIMERS)
            handler = (lambda _: Silence()) if host == silent else answering(host)
            service = running(config, handler=handler, listen=[(address, 3868)])
            servers[host] = await stack.enter_async_context(service)
        config = NodeConfig(CLIENT, CLIENT_REALM, (way,), timers=TIMERS)
        client = await stack.enter_async_context(running(config))
        await client.usable("home.test", 15.0)
        for server in servers.values():
            await server.wait(lambda event: type(event).__name__ == "PeerUp")
        for host in ADDRESSES if silent is None else ():
            await passed_on(client, host)
        yield client, servers


def asking(realm: str, host: str | None = None, session: str = "a") -> Message:
    return replace(
        REQUEST,
        session_id=f"{CLIENT};1;{session}",
        destination_realm=realm,
        destination_host=host,
        origin_state_id=None,
    ).to_message()


def within(scene: Scene, work: Callable[[], Awaitable[None]]) -> None:
    scene.hosts[1].inside(lambda: asyncio.run(work()))  # type: ignore[arg-type]


async def passed_on(client: Running, host: str) -> None:
    """Wait until freeDiameter knows, too, that a server is up."""
    for number in range(100):
        with suppress(DiameterError):
            await origin(client, asking(realm_of(host), host, f"{host}-{number}"))
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"freeDiameter passes nothing on to {host}")


async def origin(client: Running, message: Message) -> str:
    return d.ORIGIN_HOST.need((await client.request(message)).avps)


def test_realms_and_hosts_choose_the_server(scene):
    async def work():
        async with nodes() as (client, _):
            for session, (realm, host, expected) in enumerate(
                (
                    ("home.test", None, FIRST),
                    ("far.test", None, FAR),
                    ("home.test", SECOND, SECOND),
                    ("home.test", FIRST, FIRST),
                )
            ):
                got = await origin(client, asking(realm, host, str(session)))
                assert got == expected
            with pytest.raises(DiameterError) as refused:
                await client.request(asking("strange.test"))
            assert refused.value.code == ResultCode.UNABLE_TO_DELIVER

    within(scene, work)


def test_what_the_first_server_leaves_unanswered_goes_to_the_second_when_it_is_gone(scene):
    async def work():
        async with nodes(silent=FIRST) as (client, servers):
            wanted = asyncio.ensure_future(origin(client, asking("home.test")))
            await servers[FIRST].wait(lambda event: isinstance(event, RequestReceived))
            await servers[FIRST].stop()
            assert await wanted == SECOND
            taken = await servers[SECOND].wait(lambda event: isinstance(event, RequestReceived))
            assert taken.message.retransmitted
            assert not any(isinstance(e, DuplicateReceived) for e in servers[SECOND].events)
            # A conversation that the first one has ends: freeDiameter asks nobody in its place.
            with pytest.raises(DiameterError) as refused:
                await client.request(asking("home.test", FIRST, "b"))
            assert refused.value.code == ResultCode.UNABLE_TO_DELIVER

    within(scene, work)
