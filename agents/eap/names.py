"""Names in certificates and how they are compared with identities and server names."""

from __future__ import annotations

from cryptography import x509
from cryptography.x509.oid import NameOID, ObjectIdentifier

from agents.folding import ascii_lower

USER_PRINCIPAL_NAME = ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
UTF8_STRING = 0x0C


def _alternative_names(certificate: x509.Certificate) -> x509.SubjectAlternativeName | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None


def _principal_name(value: bytes) -> str | None:
    """Read a DER UTF8String of less than 128 octets."""
    if len(value) < 2 or value[0] != UTF8_STRING or value[1] != len(value) - 2 or value[1] > 127:
        return None
    return value[2:].decode("utf-8", "replace")


def peer_names(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return the identities that a peer's certificate names (RFC 5216 section 5.2).

    These are the rfc822Names and user principal names of the subjectAltName; the subject's
    common names count only if there are none.
    """
    names: list[str] = []
    if (alternatives := _alternative_names(certificate)) is not None:
        names += alternatives.get_values_for_type(x509.RFC822Name)
        for other in alternatives.get_values_for_type(x509.OtherName):
            if other.type_id == USER_PRINCIPAL_NAME and (name := _principal_name(other.value)):
                names.append(name)
    if not names:
        common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        names += [str(attribute.value) for attribute in common]
    return tuple(names)


def server_names(certificate: x509.Certificate) -> tuple[str, ...]:
    """Return the DNS names of a server's subjectAltName (RFC 9190 section 2.2)."""
    if (alternatives := _alternative_names(certificate)) is None:
        return ()
    return tuple(alternatives.get_values_for_type(x509.DNSName))


def canonical_identity(identity: str) -> str:
    """Return an NAI with its realm in lower case, for realms have none (RFC 7542 section 2.4).

    Letters beyond ASCII are what they are; so is the user's part, whose case counts.
    """
    user, at, realm = identity.rpartition("@")
    return user + at + ascii_lower(realm) if at else identity


def is_anonymous(identity: str) -> bool:
    """Whether an NAI names a realm but no user (RFC 7542 section 2.4, RFC 9190 section 2.1.8)."""
    user, at, realm = identity.rpartition("@")
    return bool(at and realm) and user in ("", "anonymous")


def find_identity(identity: str, names: tuple[str, ...]) -> str | None:
    """Return the one of a certificate's names that stands for `identity`, None if none does.

    An anonymous identity stands for the first name of its realm.
    """
    wanted = canonical_identity(identity)
    for name in names:
        candidate = canonical_identity(name)
        if candidate == wanted:
            return name
        if is_anonymous(wanted) and candidate.rpartition("@")[2] == wanted.rpartition("@")[2]:
            return name
    return None


def same_host(a: str, b: str) -> bool:
    """Whether two DNS names are equal; a wildcard stands for nothing but itself."""
    return ascii_lower(a.rstrip(".")) == ascii_lower(b.rstrip("."))
