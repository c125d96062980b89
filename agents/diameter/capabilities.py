"""The capabilities exchange and the other base messages (RFC 6733 sections 5.3 to 5.5, 7.2)."""

from __future__ import annotations

from collections.abc import Iterable

from agents.core.record import Record, replace
from agents.diameter import dictionary as d
from agents.diameter.config import NodeConfig, PeerConfig, same_identity
from agents.diameter.errors import DiameterError, ResultCode, is_protocol_error, result_name
from agents.diameter.grammar import check
from agents.diameter.values import IPAddress
from agents.diameter.wire import Avp, Message


class Link(Record, frozen=True):
    """A transport connection; `names` are those in the peer's certificate, None without TLS.

    `source` is where an incoming one came from.
    """

    connection: int
    local: IPAddress
    names: frozenset[str] | None = None
    source: IPAddress | None = None

    def vouches_for(self, host: str) -> bool:
        """Tell whether the transport allows the peer to call itself `host`."""
        return self.names is None or any(same_identity(name, host) for name in self.names)

    def may_be_of(self, peer: PeerConfig) -> bool:
        """Tell whether the peer may connect from where this connection came from."""
        certified = self.names is not None
        origins = peer.origins(tls=certified)
        return self.source in origins if origins or not certified else True


class Capabilities(Record, frozen=True):
    """What a CER or CEA says about its sender.

    `security` are the values of Inband-Security-Id. Of what a peer does for accounting alone the
    base accounting application is among its `applications`: no other is spoken here.
    """

    host: str
    realm: str
    addresses: tuple[IPAddress, ...]
    applications: frozenset[int]
    security: frozenset[int]
    vendor_id: int
    product: str
    origin_state_id: int | None

    @classmethod
    def of(cls, message: Message) -> Capabilities:
        """Read a CER or CEA that follows its grammar; raises DiameterError."""
        avps = message.avps
        applications, accounting = set[int](), set[int]()
        for group in (avps, *d.VENDOR_SPECIFIC_APPLICATION_ID.find_all(avps)):
            applications.update(d.AUTH_APPLICATION_ID.find_all(group))
            accounting.update(d.ACCT_APPLICATION_ID.find_all(group))
        applications |= accounting & {d.APPLICATION_RELAY, d.APPLICATION_ACCOUNTING}
        return cls(
            host=d.ORIGIN_HOST.need(avps),
            realm=d.ORIGIN_REALM.need(avps),
            addresses=d.HOST_IP_ADDRESS.find_all(avps),
            applications=frozenset(applications),
            security=frozenset(d.INBAND_SECURITY_ID.find_all(avps)),
            vendor_id=d.VENDOR_ID.need(avps),
            product=d.PRODUCT_NAME.need(avps),
            origin_state_id=d.ORIGIN_STATE_ID.find(avps),
        )

    def serves(self, application: int) -> bool:
        """Tell whether requests of an application may go to this peer."""
        return not self.applications.isdisjoint((application, d.APPLICATION_RELAY))

    @property
    def demands_security(self) -> bool:
        """Whether it goes on with TLS alone after the capabilities exchange."""
        return bool(self.security) and d.InbandSecurity.NO_INBAND_SECURITY not in self.security

    def shares(self, applications: Iterable[int]) -> bool:
        """Tell whether there is a common application; a relay shares every one."""
        mine = frozenset(applications)
        return (
            not mine.isdisjoint(self.applications)
            or d.APPLICATION_RELAY in mine
            or d.APPLICATION_RELAY in self.applications
        )


def _agree(
    config: NodeConfig, link: Link | None, found: Capabilities, peer: PeerConfig | None
) -> None:
    if peer is not None and not same_identity(found.realm, peer.realm):
        reason = f"{found.host!r} is of realm {peer.realm!r}, not of {found.realm!r}"
        raise DiameterError(reason, ResultCode.UNKNOWN_PEER)
    if link is not None and not link.vouches_for(found.host):
        reason = f"the certificate is not one of {found.host!r}"
        raise DiameterError(reason, ResultCode.UNKNOWN_PEER)
    if found.demands_security and (link is None or link.names is None):
        reason = "TLS is spoken from the start of a connection here, or not at all"
        raise DiameterError(reason, ResultCode.NO_COMMON_SECURITY)
    if not found.shares(config.advertised):
        reason = "there is no common application"
        raise DiameterError(reason, ResultCode.NO_COMMON_APPLICATION)


def accept_request(config: NodeConfig, link: Link, message: Message) -> Capabilities:
    """Return what an acceptable CER says; raises DiameterError with the code for the CEA."""
    check(message)
    found = Capabilities.of(message)
    peer = next((peer for peer in config.peers if same_identity(peer.host, found.host)), None)
    if same_identity(found.host, config.host) or (peer is None and not config.accept_unknown):
        reason = f"{found.host!r} is no peer of {config.host!r}"
        raise DiameterError(reason, ResultCode.UNKNOWN_PEER)
    if peer is not None and not link.may_be_of(peer):
        reason = f"{found.host!r} does not connect from {link.source}"
        raise DiameterError(reason, ResultCode.UNKNOWN_PEER)
    _agree(config, link, found, peer)
    return found


def accept_answer(
    config: NodeConfig, peer: PeerConfig, link: Link | None, message: Message
) -> Capabilities:
    """Return what an acceptable CEA of `peer` says; raises DiameterError."""
    code = d.RESULT_CODE.find(message.avps)
    if code is not None and code != ResultCode.SUCCESS:
        text = d.ERROR_MESSAGE.find(message.avps)
        reason = f"the peer refused: {result_name(code)}" + (f", {text!r}" if text else "")
        raise DiameterError(reason, code, answer=message)
    check(message)
    found = Capabilities.of(message)
    if not same_identity(found.host, peer.host):
        reason = f"{found.host!r} answered in place of {peer.host!r}"
        raise DiameterError(reason, ResultCode.UNKNOWN_PEER)
    _agree(config, link, found, peer)
    return found


def _origin(config: NodeConfig) -> tuple[Avp, Avp]:
    return d.ORIGIN_HOST.avp(config.host), d.ORIGIN_REALM.avp(config.realm)


def with_state_id(config: NodeConfig, message: Message) -> Message:
    """Return a message of this node's own that says which incarnation it is of (section 8.16)."""
    if config.origin_state_id is None or d.ORIGIN_STATE_ID.among(message.avps):
        return message
    return replace(message, avps=(*message.avps, *_state_id(config)))


def _state_id(config: NodeConfig) -> tuple[Avp, ...]:
    if config.origin_state_id is None:
        return ()
    return (d.ORIGIN_STATE_ID.avp(config.origin_state_id),)


def _request(command: d.Command, avps: Iterable[Avp]) -> Message:
    return Message(command, d.APPLICATION_COMMON, tuple(avps), proxiable=False)


def _describe(config: NodeConfig, local: IPAddress) -> tuple[Avp, ...]:
    return (
        *_origin(config),
        d.HOST_IP_ADDRESS.avp(local),
        d.VENDOR_ID.avp(config.vendor_id),
        d.PRODUCT_NAME.avp(config.product),
        *_state_id(config),
        *map(_application, config.advertised),
    )


def _application(application: int) -> Avp:
    """Return what says that an application is spoken (RFC 6733 sections 2.4 and 5.3.1)."""
    accounts = application == d.APPLICATION_ACCOUNTING
    kind = d.ACCT_APPLICATION_ID if accounts else d.AUTH_APPLICATION_ID
    return kind.avp(application)


def capabilities_request(config: NodeConfig, local: IPAddress) -> Message:
    """Return a CER; `local` is this end's address of the connection."""
    return _request(d.Command.CAPABILITIES_EXCHANGE, _describe(config, local))


def capabilities_answer(
    config: NodeConfig,
    local: IPAddress,
    request: Message,
    refusal: DiameterError | None = None,
) -> Message:
    """Return the CEA to a CER, a refusal if there is a reason for one."""
    code = ResultCode.SUCCESS if refusal is None else refusal.result_code
    avps = [d.RESULT_CODE.avp(code), *_describe(config, local), *_explain(refusal)]
    # 3010 is a protocol error, for which section 7.1.3 wants the E bit.
    return replace(
        request, avps=tuple(avps), request=False, error=is_protocol_error(code), retransmitted=False
    )


def watchdog_request(config: NodeConfig) -> Message:
    """Return a DWR."""
    return _request(d.Command.DEVICE_WATCHDOG, (*_origin(config), *_state_id(config)))


def disconnect_request(config: NodeConfig, cause: int) -> Message:
    """Return a DPR."""
    avps = (*_origin(config), d.DISCONNECT_CAUSE.avp(cause))
    return _request(d.Command.DISCONNECT_PEER, avps)


def base_answer(config: NodeConfig, request: Message) -> Message:
    """Return a DWA or DPA that says success."""
    avps = [d.RESULT_CODE.avp(ResultCode.SUCCESS), *_origin(config)]
    if request.command == d.Command.DEVICE_WATCHDOG:
        avps += _state_id(config)
    return replace(request, avps=tuple(avps), request=False, retransmitted=False)


def error_answer(
    config: NodeConfig, request: Message, error: DiameterError, more: Iterable[Avp] = ()
) -> Message:
    """Return an answer with the E bit that refuses a request (RFC 6733 section 7.2)."""
    avps = d.SESSION_ID.among(request.avps)[:1]
    avps += [*_origin(config), d.RESULT_CODE.avp(error.result_code), *_explain(error), *more]
    avps += d.PROXY_INFO.among(request.avps)
    return replace(request, avps=tuple(avps), request=False, error=True, retransmitted=False)


def _explain(error: DiameterError | None) -> list[Avp]:
    if error is None:
        return []
    avps = [d.ERROR_MESSAGE.avp(str(error))]
    if error.failed is not None:
        avps.append(d.FAILED_AVP.avp((error.failed,)))
    return avps
