"""Home agent and home address sealed by the home AAA server for the mobile node alone.

The access network carries the sealed octets and can neither read nor alter them: the key comes
from the EMSK (RFC 5295). The format, version 1:

    octet 0      version
    octets 1-16  the synthetic IV of AES-256-SIV (RFC 5297), which authenticates everything
    then, encrypted:
      1 octet    what follows: 1 a home agent, 2 a home address, 4 the home agent's name
      17 octets  prefix length and address of the home agent
      16 octets  the home address
      the rest   the home agent's name in ASCII

No bit set says that there is no home agent for this mobile node, so that a refusal differs from
octets that went missing. The associated data are the version, the identity, the EAP Session-Id
and the wish as it reached the server.

AES-SIV needs no nonce. An EAP session has its own key and seals one assignment, and to seal the
same one again gives the same octets, which is right for a repeated answer; should a key ever seal
two, SIV shows no more than whether they are equal, where GCM would lose its key.
"""

from __future__ import annotations

from ipaddress import IPv6Address

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from agents.bootstrap.assignment import Assignment, Wish
from agents.core.reader import Reader, WireError
from agents.core.record import Record
from agents.crypto.emsk import derive, usage_root_key
from agents.eap.names import canonical_identity

ROOT_LABEL = "mip6-sealed-assignment@mip6lab.example"
KEY_LABEL = "AES-256-SIV"
VERSION = 1

_HOME_AGENT, _HOME_ADDRESS, _NAME = 1, 2, 4
_ALL = _HOME_AGENT | _HOME_ADDRESS | _NAME
_MAXIMUM_NAME = 255
_MAXIMUM_LENGTH = 1 + 16 + 1 + 17 + 16 + _MAXIMUM_NAME


class SealError(ValueError):
    """Sealed octets that are not from the home AAA server, or not for this session."""


class SealContext(Record, frozen=True):
    """What sealed octets are bound to; both ends know it without being told.

    `identity` is the subscriber's own, also where EAP ran under an anonymous one; `session_id`
    the EAP Session-Id (RFC 5247 section 1.4); `wish` what the mobile node asked for.
    """

    identity: str
    session_id: bytes
    wish: Wish = Wish.EITHER

    def associated_data(self) -> list[bytes]:
        """Return the strings that AES-SIV authenticates, each for itself (RFC 5297 section 3)."""
        identity = canonical_identity(self.identity).encode()
        return [bytes([VERSION]), identity, self.session_id, bytes([self.wish])]


def seal(assignment: Assignment | None, emsk: bytes, context: SealContext) -> bytes:
    """Return `assignment` sealed; None says that there is no home agent for this mobile node."""
    content = _encode(assignment)
    return bytes([VERSION]) + _cipher(emsk, context).encrypt(content, context.associated_data())


def unseal(data: bytes, emsk: bytes, context: SealContext) -> Assignment | None:
    """Return what `seal` was given; raises SealError.

    An older assignment of the same mobile node fails like any other forgery: every run of EAP has
    its own EMSK and Session-Id.
    """
    if not data or data[0] != VERSION:
        version = f"version {data[0]}" if data else "nothing"
        raise SealError(f"the sealed home agent has version {VERSION}, {version} came")
    if len(data) > _MAXIMUM_LENGTH:
        raise SealError(f"{len(data)} octets are too many for a sealed home agent")
    try:
        content = _cipher(emsk, context).decrypt(data[1:], context.associated_data())
    except (InvalidTag, ValueError):
        raise SealError(
            "the sealed home agent was altered, or is not for this subscriber, session and wish"
        ) from None
    try:
        return _decode(Reader(content))
    except ValueError as error:
        raise SealError(f"the sealed home agent cannot be read: {error}") from None


def _cipher(emsk: bytes, context: SealContext) -> AESSIV:
    """Return the cipher under a child of the root key (RFC 5295 section 5.1)."""
    root = usage_root_key(emsk, ROOT_LABEL)
    return AESSIV(derive(root, KEY_LABEL, context.session_id))


def _encode(assignment: Assignment | None) -> bytes:
    if assignment is None:
        return bytes([0])
    parts = _HOME_AGENT
    octets = bytes([assignment.prefix_length]) + assignment.home_agent.packed
    if assignment.home_address is not None:
        parts |= _HOME_ADDRESS
        octets += assignment.home_address.packed
    if assignment.home_agent_name is not None:
        name = assignment.home_agent_name.encode("ascii")
        if not 0 < len(name) <= _MAXIMUM_NAME:
            raise ValueError(f"a home agent's name of {len(name)} octets; 1 to {_MAXIMUM_NAME}")
        parts |= _NAME
        octets += name
    return bytes([parts]) + octets


def _decode(reader: Reader) -> Assignment | None:
    parts = reader.u8()
    if parts > _ALL or (parts and not parts & _HOME_AGENT):
        raise WireError(f"parts {parts:#x} cannot be")
    if not parts:
        reader.finish()
        return None
    prefix_length = reader.u8()
    if prefix_length > 128:
        raise WireError(f"home-link prefix length {prefix_length} is over 128")
    home_agent = IPv6Address(reader.take(16))
    home_address = IPv6Address(reader.take(16)) if parts & _HOME_ADDRESS else None
    name = reader.rest().decode("ascii") if parts & _NAME else None
    if name == "":
        raise WireError("the home agent's name is empty")
    reader.finish()
    return Assignment(home_agent, prefix_length, home_address, name)
