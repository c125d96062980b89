"""The dialect of draft-ietf-pana-pana-12, which the paper implemented: grammar and keys."""

from __future__ import annotations

import hmac
from functools import lru_cache
from zlib import crc32

from agents.core.machine import Address, PeerError
from agents.crypto.prf import INTEGRITY, PRFS
from agents.pana import draft12_wire as wire
from agents.pana.dialect import Dialect
from agents.pana.errors import ErrorCode, RefusedError
from agents.pana.grammar import Auth, Grammar, GrammarTable, Rule, may, must, some
from agents.pana.keys import Algorithms, KeyMaterial, SecurityAssociation, Suite
from agents.pana.wire import Avp, AvpName, Kind, Message, Result

RESULTS = {
    Result.SUCCESS: 2001,
    Result.AUTHENTICATION_REJECTED: 4001,
    Result.AUTHORIZATION_REJECTED: 5003,
}
"""Section 8.16.1."""


def _grammar(label: str, auth: Auth, *rules: Rule, first: AvpName | None = None) -> Grammar:
    return Grammar(label, auth, (*rules, may(AvpName.NOTIFICATION)), first)


GRAMMAR: GrammarTable = {
    (Kind.INITIATION, False): _grammar("PCI", Auth.NEVER),
    (Kind.START, True): _grammar(
        "PSR",
        Auth.NEVER,
        may(AvpName.NONCE),
        may(AvpName.COOKIE),
        may(AvpName.EAP_PAYLOAD),
        may(AvpName.NAP_INFORMATION),
        some(AvpName.ISP_INFORMATION),
        may(AvpName.PROTECTION_CAPABILITY),
        may(AvpName.ALGORITHM),
        may(AvpName.PPAC),
        may(AvpName.MOBILITY_CAPABILITY),
    ),
    (Kind.START, False): _grammar(
        "PSA",
        Auth.NEVER,
        may(AvpName.NONCE),
        may(AvpName.COOKIE),
        may(AvpName.EAP_PAYLOAD),
        may(AvpName.ISP_INFORMATION),
        may(AvpName.MOBILITY_CAPABILITY),
    ),
    (Kind.AUTH, True): _grammar(
        "PAR",
        Auth.WITH_SA,
        must(AvpName.EAP_PAYLOAD),
        may(AvpName.NONCE),
        may(AvpName.SEALED_ASSIGNMENT),
        first=AvpName.EAP_PAYLOAD,
    ),
    (Kind.AUTH, False): _grammar("PAN", Auth.WITH_SA, may(AvpName.NONCE), may(AvpName.EAP_PAYLOAD)),
    (Kind.REAUTH, True): _grammar("PRAR", Auth.WITH_SA),
    (Kind.REAUTH, False): _grammar("PRAA", Auth.WITH_SA),
    (Kind.RESULT, True): _grammar(
        "PBR",
        Auth.WITH_KEY_ID,
        must(AvpName.RESULT_CODE),
        may(AvpName.PPAC),
        may(AvpName.EAP_PAYLOAD),
        may(AvpName.SESSION_LIFETIME),
        may(AvpName.PROTECTION_CAPABILITY),
        may(AvpName.KEY_ID),
        may(AvpName.ALGORITHM),
        some(AvpName.DEVICE_ID),
        may(AvpName.HOME_AGENT_ADDRESS),
        may(AvpName.HOME_AGENT_FQDN),
        may(AvpName.HOME_ADDRESS),
        may(AvpName.SEALED_ASSIGNMENT),
    ),
    (Kind.RESULT, False): _grammar(
        "PBA",
        Auth.WITH_KEY_ID,
        may(AvpName.PPAC),
        may(AvpName.DEVICE_ID),
        may(AvpName.KEY_ID),
    ),
    (Kind.PING, True): _grammar("PPR", Auth.WITH_SA),
    (Kind.PING, False): _grammar("PPA", Auth.WITH_SA),
    (Kind.TERMINATION, True): _grammar(
        "PTR",
        Auth.WITH_SA,
        must(AvpName.TERMINATION_CAUSE),
        first=AvpName.TERMINATION_CAUSE,
    ),
    (Kind.TERMINATION, False): _grammar("PTA", Auth.WITH_SA),
    (Kind.ERROR, True): _grammar(
        "PER",
        Auth.OPTIONAL,
        must(AvpName.RESULT_CODE),
        some(AvpName.FAILED_AVP),
        first=AvpName.RESULT_CODE,
    ),
    (Kind.ERROR, False): _grammar("PEA", Auth.OPTIONAL),
    (Kind.UPDATE, True): _grammar("PUR", Auth.WITH_SA, may(AvpName.DEVICE_ID)),
    (Kind.UPDATE, False): _grammar("PUA", Auth.WITH_SA, some(AvpName.DEVICE_ID)),
}
"""Section 7. Its occurrence table of section 8 has no Device-Id in PUR and PUA; the grammar has."""


class Draft12(Dialect):
    """PANA as of August 2006; `identity` and `epoch` make the PAA's session identifiers unique."""

    name = "draft12"
    grammar = GRAMMAR
    default_algorithms = Algorithms(prfs=(2, 5), integrities=(7, 12))
    nonce_kind = Kind.START
    fresh_nonces = False
    repeats_initiation = False
    requires_lifetime = False
    has_terms = True
    reports_errors = True
    update_kind = Kind.UPDATE

    def __init__(self, identity: str = "paa", epoch: int = 0) -> None:
        self._prefix = f"{identity};{epoch}"

    def encode(self, message: Message) -> bytes:
        """Return the message's octets."""
        return wire.encode(message)

    def decode(self, data: bytes) -> Message:
        """Parse one datagram."""
        return wire.decode(data)

    def check(self, message: Message) -> None:
        """Raise PeerError, with the draft's code and Failed-AVP, for what is not allowed."""
        for avp in message.avps:
            wire.check_avp(avp)
        if not message.session and message.kind not in wire.WITHOUT_SESSION:
            reason = f"{self.label(message)} does not begin with a Session-Id"
            raise RefusedError(reason, ErrorCode.MISSING_AVP, Avp(AvpName.SESSION_ID, b""))
        if self.is_stateless(message) and not message.has(AvpName.COOKIE):
            reason = "a stateless PSR without Cookie"
            raise RefusedError(reason, ErrorCode.MISSING_AVP, Avp(AvpName.COOKIE, b""))
        super().check(message)

    def session_octets(self, number: int) -> bytes:
        """Return a Session-Id as RFC 6733 section 8.8 writes it."""
        return f"{self._prefix};{number}".encode()

    def session_number(self, session: bytes) -> int:
        """Return the last part of an own Session-Id, of another's a checksum."""
        return _number(session)

    def offer(self, algorithms: Algorithms) -> tuple[Avp, ...]:
        """Return Algorithm: the PAA decides, PSR only tells it beforehand (section 4.3)."""
        return self.result_choice(algorithms.preferred)

    def start_choice(self, suite: Suite) -> tuple[Avp, ...]:  # noqa: ARG002
        """Return nothing: the PaC has no choice."""
        return ()

    def result_choice(self, suite: Suite) -> tuple[Avp, ...]:
        """Return Algorithm, PRF in the upper and integrity in the lower half (section 8.1)."""
        return (Avp.u32(AvpName.ALGORITHM, suite.prf << 16 | suite.integrity),)

    def select(self, message: Message, algorithms: Algorithms) -> Suite | None:
        """Return the suite of PBR; what PSR says is not protected and does not count."""
        number = message.number(AvpName.ALGORITHM)
        if message.kind is not Kind.RESULT or number is None:
            return None
        return algorithms.choose((number >> 16,), (number & 0xFFFF,))

    def selected(self, message: Message, algorithms: Algorithms) -> Suite:  # noqa: ARG002
        """Return the PAA's own preference."""
        return algorithms.preferred

    def stateless_start(self, token: bytes) -> tuple[bytes, int, int, tuple[Avp, ...]]:
        """Return sequence number, L flag and Cookie (section 4.3)."""
        sequence = int.from_bytes(token[4:8])
        return b"", sequence, wire.STATELESS, (Avp(AvpName.COOKIE, token[8:24]),)

    def proves(self, message: Message, token: bytes) -> bool:
        """Return whether PSA has the cookie and the sequence number of `token`."""
        cookie = message.value(AvpName.COOKIE) or b""
        return hmac.compare_digest(message.sequence.to_bytes(4) + cookie, token[4:24])

    def is_stateless(self, message: Message) -> bool:
        """Return whether the message has the L flag."""
        return bool(message.flags & wire.STATELESS)

    def result_number(self, result: Result) -> int:
        """Return the Result-Code (section 8.16.1)."""
        return RESULTS[result]

    def result(self, number: int) -> Result:
        """Return the result of a Result-Code; PeerError if it is none of an authentication."""
        for result, code in RESULTS.items():
            if code == number:
                return result
        bad = Avp.u32(AvpName.RESULT_CODE, number)
        raise RefusedError(f"Result-Code {number}", ErrorCode.INVALID_AVP_DATA, bad)

    def failed(self, *avps: Avp) -> tuple[Avp, ...]:
        """Return each AVP in a Failed-AVP of its own, a missing one with zeros (section 8.16.2)."""
        return tuple(Avp(AvpName.FAILED_AVP, wire.encode_avp(wire.least(avp))) for avp in avps)

    def relay(self, pac: Address, data: bytes) -> bytes:  # noqa: ARG002
        """Raise ValueError: RFC 6345 came after the draft, and relays RFC 5191 only."""
        raise ValueError("draft12 has no relay")

    def decrypt(self, message: Message, sa: SecurityAssociation | None) -> Message:  # noqa: ARG002
        """Return the message as it is: RFC 6786 encrypts AVPs of RFC 5191 only."""
        return message

    def derive(self, material: KeyMaterial) -> SecurityAssociation:
        """Return the SA: prf+(MSK, PaC_nonce | PAA_nonce | Session-ID) (section 5.3)."""
        if material.suite.encryption:
            raise PeerError("draft12 has no encryption")
        seed = material.pac_nonce + material.paa_nonce + material.session
        length = INTEGRITY[material.suite.integrity].key_length
        key = PRFS[material.suite.prf].plus(material.msk, seed, length)
        return SecurityAssociation(material.key_id, material.suite.integrity, key)


@lru_cache(maxsize=256)  # Every event of a session has it.
def _number(session: bytes) -> int:
    last = session.rpartition(b";")[2]
    if last.isdigit() and len(last) <= 10 and int(last) < 2**32:
        return int(last)
    return crc32(session)


DRAFT12 = Draft12()
