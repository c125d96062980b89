"""IKE_AUTH as the initiator runs it (RFC 7296 sections 1.2, 2.15 and 2.16)."""

from __future__ import annotations

from collections.abc import Sequence

from agents.core.machine import PeerError
from agents.core.reader import WireError
from agents.core.record import replace
from agents.ike.constants import Role
from agents.ike.identities import Identity
from agents.ike.selectors import Selectors
from agents.ikev2 import child, events
from agents.ikev2.addresses import assignment, request_payload
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
from agents.ikev2.certificates import (
    cert_payloads,
    identity_of,
    is_named,
    refused,
    request_payloads,
)
from agents.ikev2.constants import ExchangeType, NotifyType, PayloadType
from agents.ikev2.grammar import Contents, Form
from agents.ikev2.ike_sa_manager import IkeSaManager
from agents.ikev2.payloads import Authentication, Notification
from agents.ikev2.sa import (
    AuthSent,
    EapRunning,
    Established,
    IkeSa,
    Intent,
    Keymat,
    Method,
    MskSent,
    Transcript,
)
from agents.ikev2.signatures import sign
from agents.ikev2.task_manager import TaskManager
from agents.ikev2.tasks import DeleteChildren, DeleteIke, Initial
from agents.ikev2.wire import Payload

_LIFETIME_LENGTH = 4
_SHORTEST = 2.0
"""Seconds between two authentications at least, whatever a peer tells."""


class AuthInitiator:
    """Authenticates the local host and the peer of an IKE SA that has keys."""

    def __init__(self, sas: IkeSaManager, tasks: TaskManager) -> None:
        self._sas = sas
        self._tasks = tasks

    def start(
        self, sa: IkeSa, intent: Intent, transcript: Transcript, keymat: Keymat, now: float
    ) -> None:
        """Send the first request."""
        sas, keys = self._sas, keymat.keys
        identity = local_identity(sas.config, sa.local).encode()
        octets = octets_i(keys, transcript, identity)
        payloads = [Payload(PayloadType.ID_I, identity)]
        if intent.method is Method.CERTIFICATE:
            payloads += cert_payloads(sas.credentials)
        if intent.method is not Method.PSK:
            payloads += request_payloads(sas.credentials)
        if intent.remote_identity is not None:
            remote = identity_of(intent.remote_identity)
            payloads.append(Payload(PayloadType.ID_R, remote.encode()))
        if intent.method is Method.PSK and intent.psk is not None:
            payloads.append(auth_payload(shared_key(keys, intent.psk.key, octets)))
        elif intent.method is Method.CERTIFICATE and sas.credentials.key is not None:
            signature = sign(sas.credentials.key, octets, transcript.peer_hashes)
            payloads.append(auth_payload(signature))
        spi = sas.new_esp_spi()
        payloads += self._offer(sa, intent, spi)
        sa.state = AuthSent(intent, transcript, keymat, spi)
        self._request(sa, payloads, now)

    def _offer(self, sa: IkeSa, intent: Intent, spi: int) -> list[Payload]:
        sas = self._sas
        offer, selectors = child.offer_payloads(sas, intent.selectors, spi, None)
        notes = [child.TRANSPORT.payload()]
        alone = not any(s is not sa for s in sas.of_peer(sa.peer))
        if sas.config.initial_contact and alone:
            notes.append(Notification(NotifyType.INITIAL_CONTACT).payload())
        request = []
        if intent.selectors.local is None:
            request.append(request_payload())
        return request + notes + offer + selectors

    def _request(self, sa: IkeSa, payloads: Sequence[Payload], now: float) -> None:
        self._tasks.request(sa, ExchangeType.IKE_AUTH, payloads, Initial(), now)

    def handle(self, sa: IkeSa, contents: Contents, now: float) -> None:
        """Take an authentic response."""
        self._tasks.finish_request(sa)
        try:
            match sa.state:
                case AuthSent() as state:
                    self._handle_first(sa, state, contents, now)
                case EapRunning() as state:
                    _refuse_errors(contents)
                    contents.check(Form.EAP)
                    self._run_eap(sa, state, contents, now)
                case MskSent() as state:
                    if not contents.has(PayloadType.AUTH):
                        _refuse_errors(contents)
                    contents.check(Form.EAP_FINAL)
                    self._verify_msk(state, contents)
                    self._finish(sa, state, (state.name, "eap"), contents, now)
                case _:
                    self._sas.discard(sa.address, "IKE_AUTH is over", now)
        except RefusedError as error:
            self._sas.close(sa, f"IKE_AUTH: {error}", now)
        except (WireError, PeerError) as error:
            self._protest(sa)
            self._sas.close(sa, f"IKE_AUTH: {error}", now)

    def _handle_first(self, sa: IkeSa, state: AuthSent, contents: Contents, now: float) -> None:
        if not contents.has(PayloadType.AUTH):
            _refuse_errors(contents)
        intent, psk = state.intent, state.intent.psk
        contents.check(Form.EAP_START if intent.method is Method.EAP else Form.AUTH_RESPONSE)
        body = contents.get(PayloadType.ID_R)
        identity = Identity.decode(body)
        auth = Authentication.decode(contents.get(PayloadType.AUTH))
        octets = octets_r(state.keymat.keys, state.transcript, body)
        if psk is not None:
            check_psk(state.keymat.keys, psk, auth, octets)
            if not psk.belongs_to(identity, sa.peer):
                raise refused(f"{identity.text} does not belong to the pre-shared key")
            self._finish(sa, state, (psk.name, "psk"), contents, now)
            return
        credentials = self._sas.credentials
        name, certificate = check_certificate(credentials, identity, auth, octets, contents)
        wanted = intent.remote_identity or str(sa.peer)  # Whom we called.
        if not is_named(certificate, wanted):
            raise refused(f"the peer's certificate does not name {wanted}")
        if intent.method is not Method.EAP:
            self._finish(sa, state, (name, "certificate"), contents, now)
            return
        sa.state = EapRunning(intent, state.transcript, state.keymat, state.spi, identity, name)
        self._run_eap(sa, sa.state, contents, now)

    # EAP.

    def _run_eap(self, sa: IkeSa, state: EapRunning, contents: Contents, now: float) -> None:
        eap = state.intent.eap
        if eap is None:
            raise PeerError("EAP was not asked for", NotifyType.AUTHENTICATION_FAILED)
        response = eap.handle_request(contents.get(PayloadType.EAP))
        if eap.outcome is None:
            if response is None:
                raise PeerError("an EAP packet that does not fit", NotifyType.INVALID_SYNTAX)
            payload = Payload(PayloadType.EAP, response)
        elif eap.outcome == "success" and eap.keys is not None:
            payload = self._prove_msk(sa, state, eap.keys.msk)
        else:
            raise RefusedError(f"EAP failed: {eap.reason}")
        self._request(sa, [payload], now)

    def _prove_msk(self, sa: IkeSa, state: EapRunning, msk: bytes) -> Payload:
        sa.state = MskSent(
            state.intent,
            state.transcript,
            state.keymat,
            state.spi,
            state.identity,
            state.name,
            msk,
        )
        identity = local_identity(self._sas.config, sa.local).encode()
        octets = octets_i(state.keymat.keys, state.transcript, identity)
        return auth_payload(shared_key(state.keymat.keys, msk, octets))

    def _verify_msk(self, state: MskSent, contents: Contents) -> None:
        keys = state.keymat.keys
        octets = octets_r(keys, state.transcript, state.identity.encode())
        auth = Authentication.decode(contents.get(PayloadType.AUTH))
        check_msk(keys, state.msk, auth, octets)

    # The end.

    def _finish(
        self,
        sa: IkeSa,
        state: AuthSent | MskSent,
        proven: tuple[str, str],
        contents: Contents,
        now: float,
    ) -> None:
        """Establish the IKE SA; `proven` is the peer's identity and how it has shown it."""
        sas, wanted = self._sas, state.intent.selectors
        assigned = None
        if wanted.local is None:
            assigned = assignment(sa, contents, now)
            wanted = wanted._replace(local=assigned.home_address if assigned else None)
        lifetime = _told_lifetime(contents)
        up = Established(state.keymat, *proven)
        if lifetime is not None:
            again = max(_SHORTEST, sas.soft(lifetime, initiated=True))
            end = lifetime + _SHORTEST  # What is told are whole seconds, and the peer is first.
            up = replace(up, authorised_until=now + end, reauthenticate_at=now + again)
        sas.identify(sa, up)
        sas.limit(sa, now)
        sas.announce(sa, Role.INITIATOR, now)
        if assigned is not None:
            sas.events.append(assigned)
        material = child.Material(state.transcript.nonces)
        self._take_child(sa, state.spi, wanted, material, contents, now)
        self._tasks.pump(sa, now)
        for left in sas.of_peer(sa.peer):
            if left.is_left and not sa.is_left:
                left.tasks.append(DeleteIke("replaced by another one"))
                self._tasks.pump(left, now)

    def _take_child(
        self,
        sa: IkeSa,
        spi: int,
        wanted: Selectors,
        material: child.Material,
        contents: Contents,
        now: float,
    ) -> None:
        sas = self._sas
        try:
            if (error := contents.error) is not None:
                raise RefusedError(f"the peer says {NotifyType.text(error.type)}")
            agreement = child.accept(sas, contents, wanted, spi, None)
        except (RefusedError, WireError, PeerError) as error:
            sas.esp_spis.discard(spi)
            sas.events.append(events.Failed(now, sa.peer, f"CHILD SA: {error}", wanted))
            if contents.has(PayloadType.SA):
                sa.tasks.append(DeleteChildren((), "refused", (spi,)))
            return
        sas.add_child(child.make(sas, sa, agreement, material, now, initiated=True), now)

    def _protest(self, sa: IkeSa) -> None:
        """Tell the responder, which believes that the IKE SA is up, that it is not (2.21.2)."""
        if sa.keymat is not None:
            note = Notification(NotifyType.AUTHENTICATION_FAILED).payload()
            self._sas.send_once(sa, sa.keymat, note)


class RefusedError(Exception):
    """The responder has refused, and knows it."""


def _refuse_errors(contents: Contents) -> None:
    error = contents.error
    if error is not None:
        raise RefusedError(f"the peer says {NotifyType.text(error.type)}")


def _told_lifetime(contents: Contents) -> int | None:
    """Return for how many seconds the peer says that this authentication counts (RFC 4478)."""
    told = contents.note(NotifyType.AUTH_LIFETIME)
    if told is None or len(told.data) != _LIFETIME_LENGTH:
        return None
    return int.from_bytes(told.data)
