"""IKE_SA_INIT and IKE_AUTH as the initiator runs them (RFC 7296 sections 1.2, 2.6, 2.15, 2.16)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv6Address

from agents.core.machine import PeerError
from agents.core.reader import WireError
from agents.crypto import dh
from agents.eap.lower import EapPeerLike
from agents.ike.constants import Role
from agents.ike.identities import Identity
from agents.ike.selectors import Selectors
from agents.ikev2 import child, events
from agents.ikev2.addresses import assignment, request_payload
from agents.ikev2.auth import (
    auth_payload,
    check_certificate,
    check_msk,
    check_nonce,
    check_psk,
    keys_of,
    local_identity,
    octets_i,
    octets_r,
    shared_key,
)
from agents.ikev2.certificates import (
    cert_payloads,
    is_named,
    refused,
    request_payloads,
)
from agents.ikev2.constants import Exchange, NotifyType, PayloadType
from agents.ikev2.grammar import Contents, Form
from agents.ikev2.ike_sa_manager import Host, Timer
from agents.ikev2.keys import IkeKeys
from agents.ikev2.payloads import (
    Authentication,
    KeyExchange,
    Notification,
    SecurityAssociation,
)
from agents.ikev2.proposals import accept_ike, offer_ike, supported_group
from agents.ikev2.sa import (
    AuthSent,
    DeleteChildren,
    DeleteIke,
    EapRunning,
    Established,
    IkeSa,
    Initial,
    InitSent,
    Intent,
    Method,
    Transcript,
)
from agents.ikev2.signatures import announced, announcement, sign
from agents.ikev2.wire import NO_SPI, Header, Message, Payload, decode_chain

MAX_ATTEMPTS = 5
"""IKE_SA_INIT requests with another cookie or group."""

PATIENCE = 3
"""Refusals of IKE_SA_INIT after which the initiator believes them, for anybody may forge one."""


class Initiator:
    """Makes IKE SAs; `established` is called for each one that is up."""

    def __init__(self, host: Host, established: Callable[[IkeSa, float], None]) -> None:
        self._host = host
        self._established = established

    # IKE_SA_INIT.

    def start(self, peer: IPv6Address, intent: Intent, now: float) -> IkeSa:
        """Begin with a peer."""
        host = self._host
        group = host.config.proposals[0].group
        state = InitSent(host.new_nonce(), dh.generate(group), group)
        address = (str(peer), host.config.port)
        sa = IkeSa(peer, address, host.local, True, host.new_spi(), NO_SPI, state, intent)
        host.sas[sa.spi] = sa
        host.timers.set((Timer.GIVE_UP, sa.spi, 0), now + host.config.negotiation_timeout)
        host.events.append(events.IkeStarted(now, peer, Role.INITIATOR))
        self._send_init(sa, state, now)
        return sa

    def _send_init(self, sa: IkeSa, state: InitSent, now: float) -> None:
        host = self._host
        sa.state, sa.next_id = state, 0
        offer = offer_ike(host.config.proposals)
        payloads = [
            Payload(PayloadType.SA, offer.encode()),
            Payload(PayloadType.KE, KeyExchange(state.group, state.key_pair.public).encode()),
            Payload(PayloadType.NONCE, state.nonce),
        ]
        if state.cookie:
            payloads.insert(0, Notification(NotifyType.COOKIE, state.cookie).payload())
        if host.credentials.trusted:
            payloads.append(announcement().payload())
        host.request(sa, Exchange.IKE_SA_INIT, payloads, Initial(), now)

    def handle_init(self, sa: IkeSa, message: Message, now: float) -> None:
        """Take a response to IKE_SA_INIT; nothing in it is authentic yet."""
        state = sa.state
        if not isinstance(state, InitSent) or message.header.message_id:
            self._host.discard(sa.address, "IKE_SA_INIT is over", now)
            return
        try:
            contents = Contents.of(decode_chain(message.first, message.body))
            if contents.has(PayloadType.SA):
                self._complete_init(sa, state, message, contents, now)
            else:
                self._retry_init(sa, state, contents, now)
        except (WireError, PeerError) as error:
            self._host.discard(sa.address, f"IKE_SA_INIT: {error}", now)

    def _retry_init(self, sa: IkeSa, state: InitSent, contents: Contents, now: float) -> None:
        """Follow the responder's wish for a cookie or another group, or note its refusal."""
        cookie, wish = (
            contents.note(NotifyType.COOKIE),
            contents.note(NotifyType.INVALID_KE_PAYLOAD),
        )
        again = replace(state, attempts=state.attempts + 1)
        if cookie is not None and cookie.data and state.attempts < MAX_ATTEMPTS:
            self._send_init(sa, replace(again, cookie=cookie.data), now)
            return
        group = int.from_bytes(wish.data) if wish is not None else 0
        if (
            group != state.group
            and supported_group(group, self._host.config.proposals)
            and state.attempts < MAX_ATTEMPTS
        ):
            self._send_init(sa, replace(again, group=group, key_pair=dh.generate(group)), now)
            return
        if (error := contents.error) is None:
            raise PeerError("neither an SA nor a notification of an error")
        sa.hint = f"the peer says {NotifyType.text(error.type)} (unauthenticated)"
        sa.state = replace(state, refusals=state.refusals + 1)
        if state.refusals + 1 >= PATIENCE:
            self.fail(sa, f"IKE_SA_INIT: {sa.hint}", now)

    def _complete_init(
        self, sa: IkeSa, state: InitSent, message: Message, contents: Contents, now: float
    ) -> None:
        host = self._host
        contents.check(Form.INIT)
        if message.header.spi_r == NO_SPI:
            raise PeerError("the responder's SPI is zero")
        answered = SecurityAssociation.decode(contents.get(PayloadType.SA))
        proposal, _ = accept_ike(answered, host.config.proposals)
        ke = KeyExchange.decode(contents.get(PayloadType.KE))
        if not ke.group == proposal.group == state.group:
            raise PeerError(f"group {ke.group} in the answer to {state.group}")
        shared = state.key_pair.shared(ke.public)
        nonces = state.nonce, check_nonce(contents.get(PayloadType.NONCE))
        if sa.request is None:
            raise ValueError("IKE_SA_INIT is not under way")
        transcript = Transcript(
            (sa.request.data, message.data),
            nonces,
            announced(contents.note(NotifyType.SIGNATURE_HASH_ALGORITHMS)),
        )
        host.finish_request(sa)
        sa.spi_r, sa.proposal = message.header.spi_r, proposal
        host.secure(sa, IkeKeys.derive(proposal, shared, nonces, sa.spis))
        self._send_auth(sa, transcript, now)

    # IKE_AUTH.

    def _send_auth(self, sa: IkeSa, transcript: Transcript, now: float) -> None:
        host, intent, keys = self._host, intent_of(sa), keys_of(sa)
        identity = local_identity(host, sa.local).encode()
        octets = octets_i(keys, transcript, identity)
        payloads = [Payload(PayloadType.ID_I, identity)]
        if intent.method is Method.CERTIFICATE:
            payloads += cert_payloads(host.credentials)
        if intent.method is not Method.PSK:
            payloads += request_payloads(host.credentials)
        if intent.remote_identity is not None:
            remote = Identity.of(intent.remote_identity)
            payloads.append(Payload(PayloadType.ID_R, remote.encode()))
        if intent.method is Method.PSK and intent.psk is not None:
            payloads.append(auth_payload(shared_key(keys, intent.psk.key, octets)))
        elif intent.method is Method.CERTIFICATE and host.credentials.key is not None:
            payloads.append(
                auth_payload(sign(host.credentials.key, octets, transcript.peer_hashes))
            )
        spi = host.new_esp_spi()
        payloads += self._offer(sa, intent, spi)
        sa.state = AuthSent(transcript, intent.psk, spi)
        host.request(sa, Exchange.IKE_AUTH, payloads, Initial(), now)

    def _offer(self, sa: IkeSa, intent: Intent, spi: int) -> list[Payload]:
        host = self._host
        offer, selectors = child.offer_payloads(host, intent.selectors, spi, None)
        notes = [child.TRANSPORT.payload()]
        alone = not any(s is not sa for s in host.of_peer(sa.peer))
        if host.config.initial_contact and alone:
            notes.append(Notification(NotifyType.INITIAL_CONTACT).payload())
        request = []
        if intent.selectors.local is None:
            request.append(request_payload())
        return request + notes + offer + selectors

    def handle_auth(self, sa: IkeSa, contents: Contents, now: float) -> None:
        """Take an authentic response to IKE_AUTH."""
        host = self._host
        host.finish_request(sa)
        try:
            match sa.state:
                case AuthSent() as sent:
                    self._handle_first(sa, sent, contents, now)
                case EapRunning(msk=None) as state:
                    _refuse_errors(contents)
                    contents.check(Form.EAP)
                    self._run_eap(sa, state, contents, now)
                case EapRunning() as state:
                    if not contents.has(PayloadType.AUTH):
                        _refuse_errors(contents)
                    contents.check(Form.EAP_FINAL)
                    self._verify_msk(sa, state, contents)
                    self._finish(sa, state, (state.name, "eap"), contents, now)
                case _:
                    host.discard(sa.address, "IKE_AUTH is over", now)
        except RefusedError as error:
            self.fail(sa, f"IKE_AUTH: {error}", now)
        except (WireError, PeerError) as error:
            self._protest(sa)
            self.fail(sa, f"IKE_AUTH: {error}", now)

    def _handle_first(self, sa: IkeSa, sent: AuthSent, contents: Contents, now: float) -> None:
        if not contents.has(PayloadType.AUTH):
            _refuse_errors(contents)
        intent = intent_of(sa)
        contents.check(Form.EAP_START if intent.method is Method.EAP else Form.AUTH_RESPONSE)
        body = contents.get(PayloadType.ID_R)
        identity = Identity.decode(body)
        auth = Authentication.decode(contents.get(PayloadType.AUTH))
        octets = octets_r(keys_of(sa), sent.transcript, body)
        if sent.psk is not None:
            check_psk(keys_of(sa), sent.psk, auth, octets)
            if not sent.psk.belongs_to(identity, sa.peer):
                raise refused(f"{identity.text} does not belong to the pre-shared key")
            self._finish(sa, sent, (sent.psk.name, "psk"), contents, now)
            return
        name = self._verify_certificate(sa, identity, auth, octets, contents)
        if intent.method is Method.EAP:
            sa.state = EapRunning(sent.transcript, identity, name, sent.spi)
            self._run_eap(sa, sa.state, contents, now)
        else:
            self._finish(sa, sent, (name, "certificate"), contents, now)

    def _verify_certificate(
        self,
        sa: IkeSa,
        identity: Identity,
        auth: Authentication,
        octets: bytes,
        contents: Contents,
    ) -> str:
        """Return the responder's identity; its certificate must name whom we called."""
        credentials = self._host.credentials
        name, certificate = check_certificate(credentials, identity, auth, octets, contents)
        wanted = intent_of(sa).remote_identity or str(sa.peer)
        if not is_named(certificate, wanted):
            raise refused(f"the peer's certificate does not name {wanted}")
        return name

    def _run_eap(self, sa: IkeSa, state: EapRunning, contents: Contents, now: float) -> None:
        eap = intent_of(sa).eap
        if eap is None:
            raise PeerError("EAP was not asked for", NotifyType.AUTHENTICATION_FAILED)
        response = eap.handle_request(contents.get(PayloadType.EAP))
        if eap.outcome is None:
            if response is None:
                raise PeerError("an EAP packet that does not fit", NotifyType.INVALID_SYNTAX)
            payloads = [Payload(PayloadType.EAP, response)]
        elif eap.outcome == "success" and eap.keys is not None:
            payloads = [self._prove_msk(sa, state, eap)]
        else:
            raise RefusedError(f"EAP failed: {eap.reason}")
        self._host.request(sa, Exchange.IKE_AUTH, payloads, Initial(), now)

    def _prove_msk(self, sa: IkeSa, state: EapRunning, eap: EapPeerLike) -> Payload:
        msk = eap.keys.msk if eap.keys else b""
        sa.state = replace(state, msk=msk)
        identity = local_identity(self._host, sa.local).encode()
        octets = octets_i(keys_of(sa), state.transcript, identity)
        return auth_payload(shared_key(keys_of(sa), msk, octets))

    def _verify_msk(self, sa: IkeSa, state: EapRunning, contents: Contents) -> None:
        octets = octets_r(keys_of(sa), state.transcript, state.identity.encode())
        auth = Authentication.decode(contents.get(PayloadType.AUTH))
        check_msk(keys_of(sa), state.msk or b"", auth, octets)

    def _finish(
        self,
        sa: IkeSa,
        state: AuthSent | EapRunning,
        proven: tuple[str, str],
        contents: Contents,
        now: float,
    ) -> None:
        """Establish the IKE SA; `proven` is the peer's identity and how it has shown it."""
        host, wanted = self._host, intent_of(sa).selectors
        assigned = None
        if wanted.local is None:
            assigned = assignment(sa, contents, now)
            wanted = wanted._replace(local=assigned.home_address if assigned else None)
        identity, sa.method = proven
        host.prove(sa, identity)
        sa.state = Established()
        host.limit(sa, now)
        host.timers.cancel((Timer.GIVE_UP, sa.spi, 0))
        host.announce(sa, Role.INITIATOR, now)
        if assigned is not None:
            host.events.append(assigned)
        material = child.Material(state.transcript.nonces)
        self._take_child(sa, state.spi, wanted, material, contents, now)
        self._established(sa, now)
        for left in host.of_peer(sa.peer):
            if left.local != host.local == sa.local:
                left.tasks.append(DeleteIke("replaced from another address"))
                self._established(left, now)

    def _take_child(
        self,
        sa: IkeSa,
        spi: int,
        wanted: Selectors,
        material: child.Material,
        contents: Contents,
        now: float,
    ) -> None:
        host = self._host
        try:
            if (error := contents.error) is not None:
                raise RefusedError(f"the peer says {NotifyType.text(error.type)}")
            agreement = child.accept(host, contents, wanted, spi, None)
        except (RefusedError, WireError, PeerError) as error:
            host.esp_spis.discard(spi)
            host.events.append(events.Failed(now, sa.peer, f"CHILD SA: {error}", wanted))
            if contents.has(PayloadType.SA):
                sa.tasks.append(DeleteChildren((), "refused", (spi,)))
            return
        host.add_child(child.make(host, sa, agreement, material, now, initiated=True), now)

    # The end.

    def _protest(self, sa: IkeSa) -> None:
        """Tell the responder, which believes that the IKE SA is up, that it is not (2.21.2)."""
        if sa.sealer is None:
            return
        header = Header(
            *sa.spis, Exchange.INFORMATIONAL, sa.next_id, initiator=True, response=False
        )
        note = Notification(NotifyType.AUTHENTICATION_FAILED).payload()
        self._host.send(sa.sealer.seal(header, [note]), sa.address)

    def fail(self, sa: IkeSa, reason: str, now: float) -> None:
        """End an IKE SA that has not come up; every CHILD SA that was asked for has failed."""
        self._host.close(sa, reason, now)


class RefusedError(Exception):
    """The responder has refused, and knows it."""


def _refuse_errors(contents: Contents) -> None:
    error = contents.error
    if error is not None:
        raise RefusedError(f"the peer says {NotifyType.text(error.type)}")


def intent_of(sa: IkeSa) -> Intent:
    """Return what an initiator was asked for."""
    if sa.intent is None:
        raise ValueError("the local host is not the initiator")
    return sa.intent
