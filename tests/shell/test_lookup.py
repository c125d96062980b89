"""A DNS lookup over the loopback interface: what does not fit into a datagram comes by TCP."""

import asyncio
from contextlib import asynccontextmanager

import dns.flags
import dns.message
import dns.rrset
import pytest

from agents.dns.events import Failed, HomeAgentsFound, Inconclusive
from agents.dns.lookup import HomeAgentLookup
from agents.nodes.mobile_node.discovery import LookupEndpoint
from agents.shell.host import LinuxHost

SERVICE = "_mip6._ipv6.home.test."


def answer(query):
    """Return what 40 home agents take; the first one's address comes along."""
    response = dns.message.make_response(dns.message.from_wire(query))
    lines = [f"{number} 0 0 ha{number}.home.test." for number in range(40)]
    response.answer.append(dns.rrset.from_text(SERVICE, 60, "IN", "SRV", *lines))
    address = dns.rrset.from_text("ha0.home.test.", 60, "IN", "AAAA", "2001:db8:100::1")
    response.additional.append(address)
    return response.to_wire(max_size=0xFFFF)


class Datagrams(asyncio.DatagramProtocol):
    """Answers with nothing but the word that more does not fit."""

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, source):
        response = dns.message.make_response(dns.message.from_wire(data))
        response.flags |= dns.flags.TC
        self.transport.sendto(response.to_wire(), source)


@asynccontextmanager
async def server(serve):
    """Yield the address of a server that calls `serve` with what a connection brings."""
    loop = asyncio.get_running_loop()
    udp, _ = await loop.create_datagram_endpoint(Datagrams, ("::1", 0))
    address = udp.get_extra_info("sockname")[:2]
    streams = await asyncio.start_server(serve, *address) if serve else None
    yield address
    udp.close()
    if streams:
        streams.close()


def outcome(serve, deadline=10.0):
    """Return the events of a lookup."""
    events = []

    async def run():
        done = asyncio.Event()

        def on_event(event):
            events.append(event)
            if isinstance(event, HomeAgentsFound | Failed):
                done.set()

        async with server(serve) as address, asyncio.timeout(20):
            host = LinuxHost()
            lookup = HomeAgentLookup(
                address, rng=host.rng, domain="home.test", tcp=True, deadline=deadline
            )
            endpoint = LookupEndpoint(host, lookup, ("::1", 0), on_event)
            endpoint.call(lookup.start, host.now())
            await done.wait()
            endpoint.close()

    asyncio.run(run())
    return events


async def read(reader):
    return await reader.readexactly(int.from_bytes(await reader.readexactly(2)))


async def serve(reader, writer):
    data = answer(await read(reader))
    writer.write(len(data).to_bytes(2) + data)
    writer.close()


async def serve_piecemeal(reader, writer):
    data = answer(await read(reader))
    for octets in (len(data).to_bytes(2)[:1], len(data).to_bytes(2)[1:] + data[:9], data[9:]):
        writer.write(octets)
        await writer.drain()
    writer.close()


@pytest.mark.parametrize("how", [serve, serve_piecemeal])
def test_what_is_truncated_comes_by_tcp(how):
    found = outcome(how)[-1]
    assert isinstance(found, HomeAgentsFound)
    assert found.home_agents[0].addresses
    assert len(found.home_agents) == 16


async def close_at_once(_reader, writer):
    writer.close()


async def close_within(reader, writer):
    data = answer(await read(reader))
    writer.write(len(data).to_bytes(2) + data[:-1])
    writer.close()


async def say_nothing(reader, writer):
    try:
        await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        (None, "TCP: Connection refused"),
        (close_at_once, "TCP: "),
        (close_within, "TCP: the server closed the connection"),
        (say_nothing, "truncated: over TCP"),
    ],
)
def test_a_server_that_fails_over_tcp_is_told_in_the_reason(how, reason):
    events = outcome(how, deadline=0.3)
    last = [event.reason for event in events if isinstance(event, Inconclusive)][-1]
    assert last.startswith(reason)
    assert isinstance(events[-1], Failed)
    if how is not say_nothing:
        assert last in events[-1].reason
