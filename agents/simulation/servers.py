"""Servers that stand in for real daemons where there is no kernel to run them on: DHCPv6, DNS."""

from __future__ import annotations

from ipaddress import IPv6Address, IPv6Network

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdatatype
import dns.rrset
import dns.zone

from agents.core.host import Host, Transport
from agents.core.machine import Address, PeerError
from agents.core.reader import WireError
from agents.daemons.kea import DhcpServerConfiguration
from agents.daemons.nsd import DnsServerConfiguration, zone_text
from agents.dhcpv6.grammar import check
from agents.dhcpv6.home import Home, HomeInformation, requested
from agents.dhcpv6.wire import (
    SERVER_PORT,
    Message,
    MessageType,
    Option,
    OptionCode,
    RelayMessage,
)
from agents.dns.wire import PORT

_SUPPLIED = frozenset((Home.IDENTIFIED, Home.UNRESTRICTED))
"""The options of a relay agent that go to the client, whether it asks for them or not."""

_PAYLOAD = 1232
_NOT_AUTHORITATIVE = dns.edns.EDEOption(dns.edns.EDECode.NOT_AUTHORITATIVE)
_SERVER_DUID = bytes.fromhex("000200007ed901")
"""A DUID-EN (RFC 8415 section 11.3) of the enterprise number for examples (RFC 5612)."""


class DhcpServer:
    """Answers Information-requests as Kea does with the same configuration."""

    def __init__(self, configuration: DhcpServerConfiguration, host: Host) -> None:
        self._relayed = configuration.relayed
        self._local: HomeInformation | None = None
        if configuration.local and configuration.local.address:
            address = IPv6Address(configuration.local.address)
            prefix = IPv6Network((address, configuration.local.prefix_length), strict=False)
            self._local = HomeInformation(Home.LOCAL, prefixes=(prefix,), addresses=(address,))
        local = configuration.address or "::", SERVER_PORT
        interface = configuration.interface
        self._socket: Transport = host.open_datagrams(local, self._take, interface=interface)

    def _take(self, data: bytes, source: Address) -> None:
        try:
            answer = self.answer(data)
        except (WireError, PeerError):
            return
        self._socket.send(answer, source)

    def answer(self, data: bytes) -> bytes:
        """Return the answer to a message; WireError or PeerError for one that is not to be had."""
        if data[:1] != bytes([MessageType.RELAY_FORWARD]):
            return self._reply(Message.decode(data), ()).encode()
        forward = RelayMessage.decode(data)
        check(forward)
        rsoo = forward.first(OptionCode.RSOO)
        supplied = rsoo.as_options() if rsoo and self._relayed else ()
        relayed = forward.value(OptionCode.RELAY_MSG) or b""
        reply = self._reply(Message.decode(relayed), supplied)
        interface = forward.first(OptionCode.INTERFACE_ID)
        options = (*filter(None, [interface]), Option(OptionCode.RELAY_MSG, reply.encode()))
        return RelayMessage(
            MessageType.RELAY_REPLY,
            forward.hop_count,
            forward.link_address,
            forward.peer_address,
            options,
        ).encode()

    def _reply(self, request: Message, supplied: tuple[Option, ...]) -> Message:
        check(request)
        asked = requested(request.first(OptionCode.ORO))
        options = [request.first(OptionCode.CLIENT_ID), Option(OptionCode.SERVER_ID, _SERVER_DUID)]
        if self._local and Home.LOCAL in asked:
            options.append(self._local.to_option())
        options += [option for option in supplied if option.code in _SUPPLIED]
        return Message(MessageType.REPLY, request.transaction_id, tuple(filter(None, options)))


class DnsServer:
    """Answers from zones as NSD does with the same configuration."""

    def __init__(self, configuration: DnsServerConfiguration, host: Host) -> None:
        address = IPv6Address(configuration.address)
        self._zones = [
            dns.zone.from_text(
                zone_text(zone, address, configuration.time_to_live), relativize=False
            )
            for zone in configuration.zones
        ]
        self._socket: Transport = host.open_datagrams((configuration.address, PORT), self._take)

    def _take(self, data: bytes, source: Address) -> None:
        if answer := self.answer(data):
            self._socket.send(answer, source)

    def answer(self, data: bytes) -> bytes | None:
        """Return the answer to a query; None for what is none, such as an answer."""
        try:
            query = dns.message.from_wire(data)
        except Exception:  # Whatever dnspython says of it.
            return None
        if query.flags & dns.flags.QR:
            return None
        if query.opcode() != dns.opcode.QUERY:
            return _error(query, dns.rcode.NOTIMP).to_wire()
        if len(query.question) != 1:
            return _error(query, dns.rcode.FORMERR).to_wire()
        return self._answer(query).to_wire(want_shuffle=False)

    def _answer(self, query: dns.message.Message) -> dns.message.Message:
        response = dns.message.make_response(query, our_payload=_PAYLOAD)
        question = query.question[0]
        zone = self._zone(question.name)
        if zone is None or zone.origin is None:
            response.set_rcode(dns.rcode.REFUSED)
            if query.edns >= 0:
                response.use_edns(0, payload=_PAYLOAD, options=[_NOT_AUTHORITATIVE])
            return response
        response.flags |= dns.flags.AA
        found = zone.get_rrset(question.name, question.rdtype)
        if found is None:
            if not any(name.is_subdomain(question.name) for name in zone):
                response.set_rcode(dns.rcode.NXDOMAIN)
            response.authority.append(_records(zone, zone.origin, dns.rdatatype.SOA))
            return response
        response.answer.append(found)
        servers = _records(zone, zone.origin, dns.rdatatype.NS)
        response.authority.append(servers)
        names = [rdata.target for rdata in servers]
        if question.rdtype == dns.rdatatype.SRV:
            names += [rdata.target for rdata in found]
        own = [name for name in names if name.is_subdomain(zone.origin)]
        addresses = [zone.get_rrset(name, dns.rdatatype.AAAA) for name in own]
        response.additional += [records for records in addresses if records is not None]
        return response

    def _zone(self, name: dns.name.Name) -> dns.zone.Zone | None:
        return next((z for z in self._zones if z.origin and name.is_subdomain(z.origin)), None)


def _error(query: dns.message.Message, code: dns.rcode.Rcode) -> dns.message.Message:
    """Return what is answered to a message that is no question (RFC 1035 section 4.1.1)."""
    answer = dns.message.Message(query.id)
    answer.flags = dns.flags.QR
    answer.set_opcode(query.opcode())
    answer.set_rcode(code)
    return answer


def _records(
    zone: dns.zone.Zone, name: dns.name.Name, kind: dns.rdatatype.RdataType
) -> dns.rrset.RRset:
    """Return records that every zone has."""
    found = zone.get_rrset(name, kind)
    if found is None:
        raise ValueError(f"{name} has no {kind.name}")
    return found
