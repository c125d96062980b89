"""IKE_SA_INIT and IKE_AUTH as the responder runs them (RFC 7296, RFC 4877, RFC 5026, RFC 5778)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv6Address

from agents.core.machine import Address, PeerError
from agents.core.rate import TokenBucket
from agents.core.reader import WireError
from agents.crypto import dh
from agents.eap.lower import FAILURE, SUCCESS, identity_response
from agents.ike.constants import Role
from agents.ike.half_open import MAX_UNPROVEN
from agents.ike.identities import Identity
from agents.ike.psk import PskEntry
from agents.ikev2 import child, events
from agents.ikev2.addresses import config_reply, config_request
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
    refused,
    request_payloads,
)
from agents.ikev2.config import Grant
from agents.ikev2.constants import AuthMethod, NotifyType, PayloadType
from agents.ikev2.cookies import Cookies
from agents.ikev2.grammar import Contents, Form
from agents.ikev2.ike_sa_manager import Host, Timer, error_notification
from agents.ikev2.keys import IkeKeys
from agents.ikev2.payloads import (
    Authentication,
    Configuration,
    KeyExchange,
    Notification,
    SecurityAssociation,
)
from agents.ikev2.proposals import answer, choose_ike
from agents.ikev2.sa import Closed, EapRunning, Established, HalfOpen, IkeSa, Transcript
from agents.ikev2.signatures import announced, announcement, sign
from agents.ikev2.wire import NO_SPI, Header, Message, Payload, decode_chain, encode_plain

_ANSWERED = {NotifyType.NO_PROPOSAL_CHOSEN, NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD}
"""Errors in IKE_SA_INIT that the initiator is told of; others stay silent (section 2.21.1)."""

DISOWNED_PER_SECOND, DISOWNED_AT_ONCE = 20.0, 100
"""How many requests over unknown IKE SAs are answered (section 2.21.4): all peers of a home agent
that has restarted ask sooner or later, and ask again."""


class Responder:
    """Answers those who make IKE SAs; `established` is called for each one that is up."""

    def __init__(self, host: Host, established: Callable[[IkeSa, float], None]) -> None:
        self._host = host
        self._established = established
        self._cookies = Cookies(host.rng)
        self._disowned = TokenBucket(DISOWNED_PER_SECOND, DISOWNED_AT_ONCE)

    # IKE_SA_INIT.

    def handle_init(self, message: Message, source: Address, now: float) -> None:
        """Take a request of IKE_SA_INIT; until it is answered with an SA nothing is kept."""
        host, header = self._host, message.header
        known = host.half_open.get((header.spi_i, source))
        if known is not None and known.heard and known.heard.data == message.data:
            host.send(known.answered, source)
            return
        if len(message.data) > MAX_UNPROVEN:
            host.discard(source, f"IKE_SA_INIT of {len(message.data)} octets", now)
            return
        if known is not None or header.spi_r != NO_SPI or header.message_id:
            host.discard(source, "IKE_SA_INIT that is no first message", now)
            return
        try:
            contents = Contents.of(decode_chain(message.first, message.body))
            contents.check(Form.INIT)
            nonce = check_nonce(contents.get(PayloadType.NONCE))
            if self._demands_cookie(contents, nonce, header, source, now):
                cookie = self._cookies.make(nonce, source, header.spi_i, now)
                self.refuse_plain(header, source, Notification(NotifyType.COOKIE, cookie))
                return
            self._answer_init(message, contents, nonce, source, now)
        except (WireError, PeerError) as error:
            if getattr(error, "code", None) in _ANSWERED:
                failed = events.Failed(now, IPv6Address(source[0]), f"IKE_SA_INIT: {error}")
                host.events.append(failed)
                self.refuse_plain(header, source, error_notification(error))
            else:
                host.discard(source, f"IKE_SA_INIT: {error}", now)

    def _demands_cookie(
        self, contents: Contents, nonce: bytes, header: Header, source: Address, now: float
    ) -> bool:
        host = self._host
        few = len(host.unproven) < host.config.cookie_threshold
        if few and not host.unproven.of_host(IPv6Address(source[0])):
            return False
        note = contents.note(NotifyType.COOKIE)
        return note is None or not self._cookies.check(note.data, nonce, source, header.spi_i, now)

    def refuse_plain(self, header: Header, source: Address, notification: Notification) -> None:
        """Answer a request outside of an IKE SA (section 1.5)."""
        back = replace(header, initiator=not header.initiator, response=True)
        self._host.send(encode_plain(back, [notification.payload()]), source)

    def disown(self, message: Message, source: Address, now: float) -> None:
        """Tell whoever sends a request over an IKE SA that is not known here (section 2.21.4).

        Responses are never answered, or two hosts could answer each other for ever. The answer is
        shorter than any encrypted request, and there are only so many: it is no use for floods.
        """
        if message.header.response or message.first != PayloadType.SK:
            return
        if self._disowned.take(now):
            self.refuse_plain(message.header, source, Notification(NotifyType.INVALID_IKE_SPI))

    def _answer_init(
        self, message: Message, contents: Contents, nonce: bytes, source: Address, now: float
    ) -> None:
        host, header, peer = self._host, message.header, IPv6Address(source[0])
        if host.unproven.full(peer):
            raise PeerError("too many half-open IKE SAs with this host")
        offer = SecurityAssociation.decode(contents.get(PayloadType.SA))
        ke = KeyExchange.decode(contents.get(PayloadType.KE))
        proposal, chosen = choose_ike(offer, host.config.proposals, ke.group)
        if ke.group != proposal.group:
            wish = Notification(NotifyType.INVALID_KE_PAYLOAD, proposal.group.to_bytes(2))
            self.refuse_plain(header, source, wish)
            return
        pair, spi = dh.generate(proposal.group), host.new_spi()
        ours = host.new_nonce()
        payloads = [
            Payload(PayloadType.SA, answer(chosen).encode()),
            Payload(PayloadType.KE, KeyExchange(proposal.group, pair.public).encode()),
            Payload(PayloadType.NONCE, ours),
            *request_payloads(host.credentials),
        ]
        hashes = contents.note(NotifyType.SIGNATURE_HASH_ALGORITHMS)
        if hashes is not None:
            payloads.append(announcement().payload())
        back = replace(header, spi_r=spi, initiator=False, response=True)
        data = encode_plain(back, payloads)
        transcript = Transcript((message.data, data), (nonce, ours), announced(hashes))
        state = HalfOpen(proposal, transcript, pair, ke.public)
        self._make_room(peer, now)
        sa = IkeSa(peer, source, host.local, False, header.spi_i, spi, state)
        sa.proposal, sa.heard, sa.answered = proposal, message, data
        host.sas[spi] = host.half_open[header.spi_i, source] = sa
        host.unproven.add(spi, peer)
        host.timers.set((Timer.GIVE_UP, spi, 0), now + host.config.negotiation_timeout)
        host.events.append(events.IkeStarted(now, peer, Role.RESPONDER))
        host.send(data, source)

    def _make_room(self, peer: IPv6Address, now: float) -> None:
        """Let one of whoever has the most give way if its link, or all together, have too many."""
        host = self._host
        while (spi := host.unproven.giving_way(peer)) is not None:
            oldest = host.sas[spi]
            if not isinstance(oldest.state, Closed):
                self._fail(oldest, "IKE_AUTH: it gives way to newer negotiations", now)
            host.forget(oldest)

    def secure(self, sa: IkeSa, state: HalfOpen) -> None:
        """Compute the keys, now that IKE_AUTH has come; raises PeerError."""
        shared = state.key_pair.shared(state.public)
        keys = IkeKeys.derive(state.proposal, shared, state.transcript.nonces, sa.spis)
        self._host.secure(sa, keys)

    # IKE_AUTH.

    def handle_auth(self, sa: IkeSa, contents: Contents, now: float) -> None:
        """Take an authentic request of IKE_AUTH."""
        try:
            match sa.state:
                case HalfOpen() as state:
                    contents.check(Form.AUTH_REQUEST)
                    self._handle_first(sa, state, contents, now)
                case EapRunning(msk=None) as state:
                    contents.check(Form.EAP)
                    packet = contents.get(PayloadType.EAP)
                    self._host.events.append(
                        events.EapResponse(now, sa.spi_r, sa.peer, state.name, packet)
                    )
                case EapRunning(msk=bytes()) as state:
                    contents.check(Form.EAP_FINAL)
                    self._handle_msk(sa, state, contents, now)
                case _:
                    raise PeerError("IKE_AUTH is over", NotifyType.INVALID_SYNTAX)
        except (WireError, PeerError) as error:
            self.refuse(sa, error, now)

    def handle_end(self, sa: IkeSa, contents: Contents, now: float) -> None:
        """The initiator gives up, for it does not accept the responder's proof (2.21.2)."""
        self._host.respond(sa, [])
        error = contents.error
        why = f": {NotifyType.text(error.type)}" if error else ""
        self._fail(sa, f"IKE_AUTH: the peer has given up{why}", now)

    def refuse(self, sa: IkeSa, error: Exception, now: float) -> None:
        """Answer with an error and end the IKE SA."""
        self._host.respond(sa, [error_notification(error).payload()])
        self._fail(sa, f"IKE_AUTH: {error}", now)

    def _fail(self, sa: IkeSa, reason: str, now: float) -> None:
        if not isinstance(sa.state, Established):
            self._host.events.append(events.Failed(now, sa.peer, reason))
        self._host.close(sa, reason, now)

    def _handle_first(self, sa: IkeSa, state: HalfOpen, contents: Contents, now: float) -> None:
        host, keys = self._host, keys_of(sa)
        body = contents.get(PayloadType.ID_I)
        identity = Identity.decode(body)
        if not contents.has(PayloadType.AUTH):
            self._start_eap(sa, state, identity, contents, now)
            return
        auth = Authentication.decode(contents.get(PayloadType.AUTH))
        octets = octets_i(keys, state.transcript, body)
        grant = None
        if auth.method == AuthMethod.SHARED_KEY:
            entry = self._whose_key(sa, identity, auth, octets)
            proof = self._prove_psk(sa, state, entry)
            name, method = entry.name, "psk"
            if entry.home_address is not None:
                grant = Grant(entry.home_address)
        elif not host.config.accept_certificates:
            raise refused(f"{identity.text} has a certificate, which is not enough here")
        else:
            name, _ = check_certificate(host.credentials, identity, auth, octets, contents)
            proof, method = self._prove_certificate(sa, state.transcript), "certificate"
        self._finish(sa, (name, method, grant), proof, contents, state.transcript, now)

    def _whose_key(
        self, sa: IkeSa, identity: Identity, auth: Authentication, octets: bytes
    ) -> PskEntry:
        """Return the key that AUTH is made with; several peers may be at one address."""
        error = refused(f"no pre-shared key for {identity.text} at {sa.peer}")
        for entry in self._host.psks.by_identity(identity, sa.peer):
            try:
                check_psk(keys_of(sa), entry, auth, octets)
            except PeerError as problem:
                error = problem
                continue
            return entry
        raise error

    def _prove_psk(self, sa: IkeSa, state: HalfOpen, entry: PskEntry) -> list[Payload]:
        body = local_identity(self._host, sa.local).encode()
        octets = octets_r(keys_of(sa), state.transcript, body)
        auth = auth_payload(shared_key(keys_of(sa), entry.key, octets))
        return [Payload(PayloadType.ID_R, body), auth]

    def _prove_certificate(self, sa: IkeSa, transcript: Transcript) -> list[Payload]:
        credentials = self._host.credentials
        if credentials.key is None:
            raise refused("there is no certificate to answer with")
        body = local_identity(self._host, sa.local).encode()
        octets = octets_r(keys_of(sa), transcript, body)
        return [
            Payload(PayloadType.ID_R, body),
            *cert_payloads(credentials),
            auth_payload(sign(credentials.key, octets, transcript.peer_hashes)),
        ]

    # EAP.

    def _start_eap(
        self, sa: IkeSa, state: HalfOpen, identity: Identity, contents: Contents, now: float
    ) -> None:
        if not self._host.config.accept_eap:
            raise refused(f"{identity.text} wants EAP, which is not offered here")
        name = identity.text
        sa.state = EapRunning(state.transcript, identity, name, offer=contents)
        sa.eap_prelude = self._prove_certificate(sa, state.transcript)
        packet = identity_response(name)
        self._host.events.append(events.EapResponse(now, sa.spi_r, sa.peer, name, packet))

    def awaits_eap(self, ike_spi: bytes) -> bool:
        """Return whether the peer of an IKE SA waits for an EAP packet."""
        return self._find_waiting(ike_spi) is not None

    def _find_waiting(self, ike_spi: bytes) -> tuple[IkeSa, EapRunning] | None:
        sa = self._host.sas.get(ike_spi)
        if sa is None or sa.answered or not isinstance(sa.state, EapRunning) or sa.initiator:
            return None
        return sa, sa.state

    def _waiting(self, ike_spi: bytes, now: float) -> tuple[IkeSa, EapRunning] | None:
        """Return the IKE SA whose peer waits for an EAP packet; say so if there is none."""
        found = self._find_waiting(ike_spi)
        if found is None:
            reason = f"the IKE SA {ike_spi.hex()} waits for no EAP packet"
            self._host.discard(("AAA", 0), reason, now)
        return found

    def _carry(self, sa: IkeSa, packet: bytes) -> None:
        payloads = [*sa.eap_prelude, Payload(PayloadType.EAP, packet)]
        sa.eap_prelude = []
        self._host.respond(sa, payloads)

    def eap_request(self, ike_spi: bytes, packet: bytes, now: float) -> None:
        """Send the AAA's next EAP request to the initiator."""
        if found := self._waiting(ike_spi, now):
            self._carry(found[0], packet)

    def eap_success(
        self,
        ike_spi: bytes,
        packet: bytes,
        msk: bytes,
        now: float,
        *,
        identity: str,
        grant: Grant | None,
        lifetime: float | None,
    ) -> None:
        """Send EAP-Success; the initiator has to prove the MSK then."""
        found = self._waiting(ike_spi, now)
        if found is None:
            return
        sa, state = found
        if not msk or packet[:1] != bytes([SUCCESS]):
            self.eap_failure(ike_spi, None, "the AAA's success lacks EAP-Success or the MSK", now)
            return
        sa.state = replace(state, msk=msk, name=identity)
        self._host.prove(sa, identity)
        sa.grant = grant
        if lifetime is not None:
            sa.authorised_until = now + lifetime
        self._carry(sa, packet)

    def eap_failure(self, ike_spi: bytes, packet: bytes | None, reason: str, now: float) -> None:
        """Send EAP-Failure, or without a packet a notification, and end the IKE SA."""
        found = self._waiting(ike_spi, now)
        if found is None:
            return
        sa, _ = found
        if packet is not None and packet[:1] == bytes([FAILURE]):
            self._carry(sa, packet)
        else:
            note = Notification(NotifyType.AUTHENTICATION_FAILED).payload()
            self._host.respond(sa, [note])
        self._fail(sa, f"IKE_AUTH: {reason}", now)

    def withdraw(self, sa: IkeSa, reason: str, now: float) -> None:
        """End an IKE SA that EAP has succeeded for, before the peer has proved the MSK."""
        self._fail(sa, f"IKE_AUTH: {reason}", now)

    def _handle_msk(self, sa: IkeSa, state: EapRunning, contents: Contents, now: float) -> None:
        keys, msk = keys_of(sa), state.msk or b""
        auth = Authentication.decode(contents.get(PayloadType.AUTH))
        check_msk(keys, msk, auth, octets_i(keys, state.transcript, state.identity.encode()))
        body = local_identity(self._host, sa.local).encode()
        proof = [auth_payload(shared_key(keys, msk, octets_r(keys, state.transcript, body)))]
        if state.offer is None:
            raise ValueError("the offer was not kept")
        proven = state.name, "eap", sa.grant
        self._finish(sa, proven, proof, state.offer, state.transcript, now)

    # The IKE SA is up.

    def _finish(
        self,
        sa: IkeSa,
        proven: tuple[str, str, Grant | None],
        proof: list[Payload],
        contents: Contents,
        transcript: Transcript,
        now: float,
    ) -> None:
        """Establish the IKE SA and answer with `proof` and the CHILD SA that was asked for."""
        host = self._host
        identity, sa.method, grant = proven
        host.prove(sa, identity)
        wanted = config_request(contents)
        if grant is None and host.allocate is not None:
            asked = wanted.address if wanted else None
            grant = host.allocate(sa.identity, asked[0] if asked else None)
        sa.grant = grant
        host.timers.cancel((Timer.GIVE_UP, sa.spi, 0))
        host.half_open.pop((sa.spi_i, sa.address), None)
        host.unproven.remove(sa.spi)
        if contents.note(NotifyType.INITIAL_CONTACT) is not None:
            self._forget_others(sa, now)
        sa.state = Established()
        host.limit(sa, now)
        host.announce(sa, Role.RESPONDER, now)
        proof = proof + self._answer_child(sa, wanted, contents, transcript, now)
        host.respond(sa, proof)
        self._established(sa, now)

    def _forget_others(self, sa: IkeSa, now: float) -> None:
        """Drop what a peer that has started afresh cannot know any more (section 2.4)."""
        for other in self._host.of_identity(sa.identity):
            if other is not sa:
                self._host.close(other, "the peer has started afresh", now)

    def _answer_child(
        self,
        sa: IkeSa,
        wanted: Configuration | None,
        contents: Contents,
        transcript: Transcript,
        now: float,
    ) -> list[Payload]:
        host = self._host
        try:
            config = [] if wanted is None else config_reply(wanted, sa.grant)
            agreement, chosen = child.choose(host, sa, contents, (None,), None)
        except (WireError, PeerError) as error:
            host.events.append(events.Failed(now, sa.peer, f"CHILD SA refused: {error}"))
            return [error_notification(error).payload()]
        material = child.Material(transcript.nonces)
        made = child.make(host, sa, agreement, material, now, initiated=False)
        host.events.append(events.ChildKeyed(now, sa.peer, made.pair))
        host.add_child(made, now)
        offer, selectors = child.answer_payloads(agreement, chosen)
        return config + offer + selectors
