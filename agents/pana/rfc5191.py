"""The dialect of RFC 5191: grammar, key derivation, relaying (RFC 6345), encryption (RFC 6786)."""

from __future__ import annotations

import hmac
from ipaddress import IPv6Address

from agents.core.machine import Address, PeerError
from agents.core.record import replace
from agents.crypto.prf import INTEGRITY, PRFS
from agents.pana import rfc5191_wire as wire
from agents.pana.dialect import Dialect
from agents.pana.encryption import HIDDEN, KEY_LENGTH, check_policy, crypt, first_counter
from agents.pana.grammar import Auth, Grammar, GrammarTable, may, must, some
from agents.pana.keys import (
    AUTH_HMAC_SHA1_160,
    DEFAULT_ALGORITHMS,
    PRF_HMAC_SHA1,
    Algorithms,
    KeyMaterial,
    SecurityAssociation,
    Suite,
)
from agents.pana.wire import Avp, AvpName, Kind, Message, Result

AUTH_KEY_LABEL = b"IETF PANA"
PAC_KEY_LABEL = b"IETF PANA PaC Encr"
PAA_KEY_LABEL = b"IETF PANA PAA Encr"
"""RFC 6786 section 3."""

# RFC 5191 section 5.7 has Session-Lifetime ignored, not refused, outside the last request.
GRAMMAR: GrammarTable = {
    (Kind.INITIATION, False): Grammar("PCI", Auth.NEVER),
    (Kind.START, True): Grammar(
        "PAR[S]",
        Auth.NEVER,
        (
            may(AvpName.EAP_PAYLOAD),
            some(AvpName.PRF_ALGORITHM),
            some(AvpName.INTEGRITY_ALGORITHM),
            some(AvpName.ENCRYPTION_ALGORITHM),
            may(AvpName.SESSION_LIFETIME),
            may(AvpName.MOBILITY_CAPABILITY),
        ),
    ),
    (Kind.START, False): Grammar(
        "PAN[S]",
        Auth.NEVER,
        (
            may(AvpName.EAP_PAYLOAD),
            may(AvpName.PRF_ALGORITHM),
            may(AvpName.INTEGRITY_ALGORITHM),
            may(AvpName.ENCRYPTION_ALGORITHM),
            may(AvpName.MOBILITY_CAPABILITY),
        ),
    ),
    (Kind.AUTH, True): Grammar(
        "PAR",
        Auth.WITH_SA,
        (
            must(AvpName.EAP_PAYLOAD),
            may(AvpName.NONCE),
            may(AvpName.SESSION_LIFETIME),
            may(AvpName.SEALED_ASSIGNMENT),
        ),
    ),
    (Kind.AUTH, False): Grammar(
        "PAN", Auth.WITH_SA, (may(AvpName.EAP_PAYLOAD), may(AvpName.NONCE))
    ),
    (Kind.RESULT, True): Grammar(
        "PAR[C]",
        Auth.WITH_KEY_ID,
        (
            must(AvpName.RESULT_CODE),
            may(AvpName.EAP_PAYLOAD),
            may(AvpName.KEY_ID),
            may(AvpName.SESSION_LIFETIME),
            may(AvpName.HOME_AGENT_ADDRESS),
            may(AvpName.HOME_AGENT_FQDN),
            may(AvpName.HOME_ADDRESS),
            may(AvpName.SEALED_ASSIGNMENT),
        ),
    ),
    (Kind.RESULT, False): Grammar("PAN[C]", Auth.WITH_KEY_ID, (may(AvpName.KEY_ID),)),
    (Kind.TERMINATION, True): Grammar(
        "PTR",
        Auth.WITH_SA,
        (must(AvpName.TERMINATION_CAUSE),),
        first=AvpName.TERMINATION_CAUSE,
    ),
    (Kind.TERMINATION, False): Grammar("PTA", Auth.WITH_SA),
    (Kind.REAUTH, True): Grammar("PNR[A]", Auth.WITH_SA),
    (Kind.REAUTH, False): Grammar("PNA[A]", Auth.WITH_SA),
    (Kind.PING, True): Grammar("PNR[P]", Auth.WITH_SA),
    (Kind.PING, False): Grammar("PNA[P]", Auth.WITH_SA),
    (Kind.RELAY, False): Grammar(
        "PRY", Auth.NEVER, (must(AvpName.PAC_INFORMATION), must(AvpName.RELAYED_MESSAGE))
    ),
}


class Rfc5191(Dialect):
    """PANA as published in May 2008."""

    name = "rfc5191"
    grammar = GRAMMAR
    default_algorithms = DEFAULT_ALGORITHMS
    nonce_kind = Kind.AUTH
    fresh_nonces = True
    repeats_initiation = True
    requires_lifetime = True
    has_terms = False
    reports_errors = False
    update_kind = Kind.PING

    def encode(self, message: Message) -> bytes:
        """Return the message's octets."""
        return wire.encode(message)

    def decode(self, data: bytes) -> Message:
        """Parse one datagram."""
        return wire.decode(data)

    def session_octets(self, number: int) -> bytes:
        """Return the header's Session Identifier."""
        return number.to_bytes(4)

    def session_number(self, session: bytes) -> int:
        """Return the header's Session Identifier as a number."""
        return int.from_bytes(session)

    def offer(self, algorithms: Algorithms) -> tuple[Avp, ...]:
        """Return one AVP per algorithm, first the one that every implementation has.

        The PaC chooses, and the order means nothing (RFC 5191 section 4.1); but there are PaCs that
        read the first AVP of each kind only.
        """
        prfs = sorted(algorithms.prfs, key=lambda n: n != PRF_HMAC_SHA1)
        integrities = sorted(algorithms.integrities, key=lambda n: n != AUTH_HMAC_SHA1_160)
        return (
            *(Avp.u32(AvpName.PRF_ALGORITHM, n) for n in prfs),
            *(Avp.u32(AvpName.INTEGRITY_ALGORITHM, n) for n in integrities),
            *(Avp.u32(AvpName.ENCRYPTION_ALGORITHM, n) for n in algorithms.encryptions),
        )

    def start_choice(self, suite: Suite) -> tuple[Avp, ...]:
        """Return the chosen algorithms, one of each (RFC 5191 section 4.1)."""
        encryptions = (suite.encryption,) if suite.encryption else ()
        return self.offer(Algorithms((suite.prf,), (suite.integrity,), encryptions))

    def result_choice(self, suite: Suite) -> tuple[Avp, ...]:  # noqa: ARG002
        """Return nothing: the start has settled the algorithms."""
        return ()

    def algorithms(self, message: Message) -> tuple[tuple[int, ...], ...]:
        """Return the PRFs, integrity algorithms and encryption algorithms of a start message."""
        names = (AvpName.PRF_ALGORITHM, AvpName.INTEGRITY_ALGORITHM, AvpName.ENCRYPTION_ALGORITHM)
        return tuple(tuple(map(int.from_bytes, message.values(name))) for name in names)

    def select(self, message: Message, algorithms: Algorithms) -> Suite | None:
        """Return the PaC's choice out of PAR[S]."""
        return self.selected(message, algorithms) if message.kind is Kind.START else None

    def selected(self, message: Message, algorithms: Algorithms) -> Suite:
        """Return what both sides support; PeerError if that is not enough."""
        prfs, integrities, encryptions = self.algorithms(message)
        return algorithms.choose(prfs, integrities, encryptions)

    def stateless_start(self, token: bytes) -> tuple[bytes, int, int, tuple[Avp, ...]]:
        """Return session and sequence number; both are echoed, and so are the cookie."""
        return token[:4], int.from_bytes(token[4:8]), 0, ()

    def proves(self, message: Message, token: bytes) -> bool:
        """Return whether PAN[S] has the session and the sequence number of `token`."""
        sequence = message.sequence.to_bytes(4)
        return hmac.compare_digest(message.session + sequence, token[:8])

    def is_stateless(self, message: Message) -> bool:  # noqa: ARG002
        """Return False: PAR[S] does not tell, and the PaC does the same in both cases."""
        return False

    def failed(self, *avps: Avp) -> tuple[Avp, ...]:  # noqa: ARG002
        """Return nothing: there are no error messages."""
        return ()

    def result_number(self, result: Result) -> int:
        """Return the Result-Code (RFC 5191 section 8.7)."""
        return int(result)

    def result(self, number: int) -> Result:
        """Return the result of a Result-Code; PeerError if it is unknown."""
        try:
            return Result(number)
        except ValueError:
            raise PeerError(f"Result-Code {number}", number) from None

    def derive(self, material: KeyMaterial) -> SecurityAssociation:
        """Return the SA with the keys of RFC 5191 section 5.3 and RFC 6786 section 3."""
        seed = (
            material.start_request
            + material.start_answer
            + material.pac_nonce
            + material.paa_nonce
            + material.key_id.to_bytes(4)
        )
        suite, plus = material.suite, PRFS[material.suite.prf].plus
        length = INTEGRITY[suite.integrity].key_length
        key = plus(material.msk, AUTH_KEY_LABEL + seed, length)
        if not suite.encryption:
            return SecurityAssociation(material.key_id, suite.integrity, key)
        pac_key = plus(material.msk, PAC_KEY_LABEL + seed, KEY_LENGTH)
        paa_key = plus(material.msk, PAA_KEY_LABEL + seed, KEY_LENGTH)
        mine, theirs = (pac_key, paa_key) if material.is_pac else (paa_key, pac_key)
        return SecurityAssociation(material.key_id, suite.integrity, key, mine, theirs)

    # RFC 6786.

    def protect(self, message: Message, sa: SecurityAssociation | None) -> bytes:
        """Encode the message with AUTH, and the home agent in Encryption-Encap if agreed on."""
        hidden = tuple(avp for avp in message.avps if avp.name in HIDDEN)
        if sa is not None and sa.encrypt_key and hidden:
            counter = first_counter(sa.key_id, message.session, message.sequence)
            inner = b"".join(map(wire.encode_avp, hidden))
            encap = Avp(AvpName.ENCRYPTION_ENCAP, crypt(sa.encrypt_key, counter, inner))
            clear = tuple(avp for avp in message.avps if avp.name not in HIDDEN)
            message = replace(message, avps=(*clear, encap))
        return super().protect(message, sa)

    def decrypt(self, message: Message, sa: SecurityAssociation | None) -> Message:
        """Return the message with what Encryption-Encap holds in its place."""
        agreed = sa is not None and bool(sa.decrypt_key)
        encap = message.value(AvpName.ENCRYPTION_ENCAP)
        if encap is None or sa is None or not agreed:
            if encap is not None:
                raise PeerError(f"{self.label(message)} with Encryption-Encap, not agreed on")
            check_policy(message, (), agreed=agreed)
            return message
        counter = first_counter(sa.key_id, message.session, message.sequence)
        inner = wire.decode_avps(crypt(sa.decrypt_key, counter, encap))
        check_policy(message, tuple(inner), agreed=True)
        names = [avp.name for avp in message.avps]
        at = names.index(AvpName.ENCRYPTION_ENCAP)
        avps = (*message.avps[:at], *inner, *message.avps[at + 1 :])
        opened = replace(message, avps=avps)
        self.check(opened)
        return opened

    # RFC 6345.

    def relay(self, pac: Address, data: bytes) -> bytes:
        """Return the PRY that carries a message from or to the PaC's address (RFC 6345 4.1)."""
        host = IPv6Address(pac[0].partition("%")[0]).packed
        avps = (
            Avp(AvpName.PAC_INFORMATION, host + pac[1].to_bytes(2)),
            Avp(AvpName.RELAYED_MESSAGE, data),
        )
        return self.encode(Message(Kind.RELAY, False, b"", 0, avps))


RFC5191 = Rfc5191()
