"""IKE_AUTH as the responder runs it (RFC 7296, RFC 4877, RFC 5026, RFC 5778)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from agents.core.machine import PeerError
from agents.core.reader import WireError
from agents.core.record import replace
from agents.eap.lower import FAILURE, SUCCESS, identity_response
from agents.ike.constants import Role
from agents.ike.identities import Identity
from agents.ike.psk import PskEntry
from agents.ikev2 import child, events
from agents.ikev2.addresses import config_reply, config_request
from agents.ikev2.auth import (
    auth_payload,
    check_certificate,
    check_msk,
    check_psk,
    local_identity,
    octets_i,
    octets_r,
    shared_key,
)
from agents.ikev2.certificates import cert_payloads, owns, refused
from agents.ikev2.config import Grant
from agents.ikev2.constants import AuthMethod, NotifyType, PayloadType
from agents.ikev2.errors import error_notification
from agents.ikev2.grammar import Contents, Form
from agents.ikev2.ike_sa_manager import IkeSaManager
from agents.ikev2.payloads import Authentication, Configuration, Notification
from agents.ikev2.sa import (
    AuthAwaited,
    EapAccepted,
    EapRelayed,
    Established,
    IkeSa,
    KeyAwaited,
    Keymat,
    Transcript,
)
from agents.ikev2.signatures import sign
from agents.ikev2.task_manager import TaskManager
from agents.ikev2.wire import Payload


class AuthResponder:
    """Authenticates those who make IKE SAs."""

    def __init__(self, sas: IkeSaManager, tasks: TaskManager) -> None:
        self._sas = sas
        self._tasks = tasks

    def handle(self, sa: IkeSa, contents: Contents, now: float) -> None:
        """Take an authentic request of IKE_AUTH."""
        try:
            match sa.state:
                case AuthAwaited() as state:
                    contents.check(Form.AUTH_REQUEST)
                    self._handle_first(sa, state, contents, now)
                case EapRelayed(claimed=claimed):
                    contents.check(Form.EAP)
                    self._relay(sa, claimed, contents.get(PayloadType.EAP), now)
                case EapAccepted() as state:
                    contents.check(Form.EAP_FINAL)
                    self._handle_msk(sa, state, contents, now)
                case _:
                    raise PeerError("IKE_AUTH is over", NotifyType.INVALID_SYNTAX)
        except (WireError, PeerError) as error:
            self.refuse(sa, error, now)

    def handle_end(self, sa: IkeSa, contents: Contents, now: float) -> None:
        """The initiator gives up, for it does not accept the responder's proof (2.21.2)."""
        self._tasks.respond(sa, [])
        error = contents.error
        why = f": {NotifyType.text(error.type)}" if error else ""
        self.fail(sa, f"IKE_AUTH: the peer has given up{why}", now)

    def refuse(self, sa: IkeSa, error: Exception, now: float) -> None:
        """Answer with an error and end the IKE SA."""
        self._tasks.respond(sa, [error_notification(error).payload()])
        self.fail(sa, f"IKE_AUTH: {error}", now)

    def fail(self, sa: IkeSa, reason: str, now: float) -> None:
        """End an IKE SA that has not come up."""
        if not isinstance(sa.state, Established):
            self._sas.events.append(events.Failed(now, sa.peer, reason))
        self._sas.close(sa, reason, now)

    def _handle_first(self, sa: IkeSa, state: AuthAwaited, contents: Contents, now: float) -> None:
        sas, keys = self._sas, state.keymat.keys
        body = contents.get(PayloadType.ID_I)
        identity = Identity.decode(body)
        if not contents.has(PayloadType.AUTH):
            self._start_eap(sa, state, identity, contents, now)
            return
        auth = Authentication.decode(contents.get(PayloadType.AUTH))
        octets = octets_i(keys, state.transcript, body)
        if auth.method == AuthMethod.SHARED_KEY:
            if sas.config.asks_keys:
                sa.state = KeyAwaited(state.transcript, state.keymat, contents)
                sas.events.append(events.KeyWanted(now, sa.peer, identity, sa.spi_r))
                return
            self._take_key(sa, state, contents, sas.psks.by_identity(identity, sa.peer), now)
            return
        if not sas.config.accept_certificates:
            raise refused(f"{identity.text} has a certificate, which is not enough here")
        name, _ = check_certificate(sas.credentials, identity, auth, octets, contents)
        proof = self._prove_certificate(sa, state, contents)
        up = Established(state.keymat, name, "certificate")
        self._finish(sa, up, proof, contents, state.transcript, now)

    def give_key(self, spi: bytes, entry: PskEntry | None, now: float) -> None:
        """Go on with the pre-shared key that an IKE SA waits for, or end it if there is none."""
        sa = self._sas.table.get(spi)
        if sa is None or not isinstance(sa.state, KeyAwaited):
            return
        try:
            self._take_key(sa, sa.state, sa.state.offer, [entry] if entry else [], now)
        except (WireError, PeerError) as error:
            self.refuse(sa, error, now)

    def _take_key(
        self,
        sa: IkeSa,
        state: AuthAwaited | KeyAwaited,
        contents: Contents,
        keys: Sequence[PskEntry],
        now: float,
    ) -> None:
        """Authenticate a peer by the one of these keys that it has."""
        body = contents.get(PayloadType.ID_I)
        auth = Authentication.decode(contents.get(PayloadType.AUTH))
        octets = octets_i(state.keymat.keys, state.transcript, body)
        entry = self._whose_key(sa, state.keymat, keys, Identity.decode(body), auth, octets)
        proof = self._prove_secret(sa, state, contents, entry.key, named=True)
        grant = None if entry.home_address is None else Grant(entry.home_address)
        up = Established(state.keymat, entry.name, "psk", grant)
        self._finish(sa, up, proof, contents, state.transcript, now)

    @staticmethod
    def _whose_key(
        sa: IkeSa,
        keymat: Keymat,
        known: Sequence[PskEntry],
        identity: Identity,
        auth: Authentication,
        octets: bytes,
    ) -> PskEntry:
        """Return the key that AUTH is made with; several peers may be at one address."""
        error = refused(f"no pre-shared key for {identity.text} at {sa.peer}")
        for entry in known:
            try:
                check_psk(keymat.keys, entry, auth, octets)
            except PeerError as problem:
                error = problem
                continue
            return entry
        raise error

    def _prove_secret(
        self,
        sa: IkeSa,
        state: AuthAwaited | KeyAwaited | EapAccepted,
        offer: Contents,
        secret: bytes,
        *,
        named: bool,
    ) -> list[Payload]:
        """Return AUTH by a pre-shared key or the MSK, behind the local identity if `named`."""
        keys, body = state.keymat.keys, self._local_identity(sa, offer)
        auth = shared_key(keys, secret, octets_r(keys, state.transcript, body))
        return [Payload(PayloadType.ID_R, body)] * named + [auth_payload(auth)]

    def _local_identity(self, sa: IkeSa, offer: Contents) -> bytes:
        """Return IDr: whom the initiator has asked for, if that is a name of this host's too."""
        if offer.has(PayloadType.ID_R):
            asked = Identity.decode(offer.get(PayloadType.ID_R))
            if owns(self._sas.credentials, asked):
                return asked.encode()
        return local_identity(self._sas.config, sa.local).encode()

    def _prove_certificate(self, sa: IkeSa, state: AuthAwaited, offer: Contents) -> list[Payload]:
        credentials = self._sas.credentials
        if credentials.key is None:
            raise refused("there is no certificate to answer with")
        body = self._local_identity(sa, offer)
        octets = octets_r(state.keymat.keys, state.transcript, body)
        return [
            Payload(PayloadType.ID_R, body),
            *cert_payloads(credentials),
            auth_payload(sign(credentials.key, octets, state.transcript.peer_hashes)),
        ]

    # EAP.

    def _start_eap(
        self, sa: IkeSa, state: AuthAwaited, claimed: Identity, contents: Contents, now: float
    ) -> None:
        if not self._sas.config.accept_eap:
            raise refused(f"{claimed.text} wants EAP, which is not offered here")
        prelude = tuple(self._prove_certificate(sa, state, contents))
        sa.state = EapRelayed(state.transcript, state.keymat, contents, claimed, prelude)
        self._relay(sa, claimed, identity_response(claimed.text), now)

    def _relay(self, sa: IkeSa, claimed: Identity, packet: bytes, now: float) -> None:
        event = events.EapResponse(now, sa.spi_r, sa.peer, claimed.text, packet)
        self._sas.events.append(event)

    def awaits_eap(self, ike_spi: bytes) -> bool:
        """Return whether the peer of an IKE SA waits for an EAP packet."""
        return self._find_waiting(ike_spi) is not None

    def _find_waiting(self, ike_spi: bytes) -> tuple[IkeSa, EapRelayed] | None:
        sa = self._sas.table.get(ike_spi)
        if sa is None or not isinstance(sa.state, EapRelayed):
            return None
        served = sa.window.served
        return None if served is None or served.response else (sa, sa.state)

    def _waiting(self, ike_spi: bytes, now: float) -> tuple[IkeSa, EapRelayed] | None:
        """Return the IKE SA whose peer waits for an EAP packet; say so if there is none."""
        found = self._find_waiting(ike_spi)
        if found is None:
            reason = f"the IKE SA {ike_spi.hex()} waits for no EAP packet"
            self._sas.discard(("AAA", 0), reason, now)
        return found

    def eap_request(self, ike_spi: bytes, packet: bytes, now: float) -> None:
        """Send the AAA's next EAP request to the initiator."""
        if found := self._waiting(ike_spi, now):
            sa, state = found
            sa.state = replace(state, prelude=())
            self._tasks.respond(sa, [*state.prelude, Payload(PayloadType.EAP, packet)])

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
        until = math.inf if lifetime is None else now + lifetime
        accepted = EapAccepted(
            state.transcript,
            state.keymat,
            state.offer,
            state.claimed,
            identity,
            msk,
            grant,
            until,
        )
        self._sas.identify(sa, accepted)
        self._tasks.respond(sa, [*state.prelude, Payload(PayloadType.EAP, packet)])

    def eap_failure(self, ike_spi: bytes, packet: bytes | None, reason: str, now: float) -> None:
        """Send EAP-Failure, or without a packet a notification, and end the IKE SA."""
        found = self._waiting(ike_spi, now)
        if found is None:
            return
        sa, state = found
        if packet is not None and packet[:1] == bytes([FAILURE]):
            self._tasks.respond(sa, [*state.prelude, Payload(PayloadType.EAP, packet)])
        else:
            note = Notification(NotifyType.AUTHENTICATION_FAILED).payload()
            self._tasks.respond(sa, [note])
        self.fail(sa, f"IKE_AUTH: {reason}", now)

    def _handle_msk(self, sa: IkeSa, state: EapAccepted, contents: Contents, now: float) -> None:
        keys = state.keymat.keys
        auth = Authentication.decode(contents.get(PayloadType.AUTH))
        octets = octets_i(keys, state.transcript, state.claimed.encode())
        check_msk(keys, state.msk, auth, octets)
        proof = self._prove_secret(sa, state, state.offer, state.msk, named=False)
        up = Established(state.keymat, state.identity, "eap", state.grant, state.authorised_until)
        self._finish(sa, up, proof, state.offer, state.transcript, now)

    # The IKE SA is up.

    def _finish(
        self,
        sa: IkeSa,
        state: Established,
        proof: list[Payload],
        contents: Contents,
        transcript: Transcript,
        now: float,
    ) -> None:
        """Establish the IKE SA and answer with `proof` and the CHILD SA that was asked for."""
        sas, wanted = self._sas, config_request(contents)
        if state.grant is None and sas.allocate is not None:
            asked = wanted.address if wanted else None
            grant = sas.allocate(state.identity, asked[0] if asked else None)
            state = replace(state, grant=grant)
        sas.half_open.pop((sa.spi_i, sa.address), None)
        sas.unproven.remove(sa.spi)
        sas.identify(sa, state)
        if contents.note(NotifyType.INITIAL_CONTACT) is not None:
            self._forget_others(sa, now)
        sas.limit(sa, now)
        sas.announce(sa, Role.RESPONDER, now)
        payloads = self._answer_child(sa, wanted, contents, transcript, now)
        lasts = state.authorised_until - now
        told = [_lifetime(lasts)] if lasts < math.inf else []
        self._tasks.respond(sa, proof + told + payloads)
        self._tasks.pump(sa, now)

    def _forget_others(self, sa: IkeSa, now: float) -> None:
        """Drop what a peer that has started afresh cannot know any more (section 2.4)."""
        for other in self._sas.of_identity(sa.identity):
            if other is not sa:
                self._sas.close(other, "the peer has started afresh", now)

    def _answer_child(
        self,
        sa: IkeSa,
        wanted: Configuration | None,
        contents: Contents,
        transcript: Transcript,
        now: float,
    ) -> list[Payload]:
        sas = self._sas
        try:
            config = [] if wanted is None else config_reply(wanted, sa.established.grant)
            agreement, chosen = child.choose(sas, sa, contents, (None,), None)
        except (WireError, PeerError) as error:
            sas.events.append(events.Failed(now, sa.peer, f"CHILD SA refused: {error}"))
            return [error_notification(error).payload()]
        material = child.Material(transcript.nonces)
        made = child.make(sas, sa, agreement, material, now, initiated=False)
        sas.add_child(made, now)
        offer, selectors = child.answer_payloads(agreement, chosen)
        return config + offer + selectors


def _lifetime(seconds: float) -> Payload:
    """Return the notification of how long an authentication lasts (RFC 4478 section 3)."""
    data = min(int(seconds), 0xFFFFFFFF).to_bytes(4)
    return Notification(NotifyType.AUTH_LIFETIME, data).payload()
