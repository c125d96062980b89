"""Names in certificates and how they are compared with identities and server names."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from agents.core.folding import ascii_lower

if TYPE_CHECKING:  # IKE compares names too, and starts without reading certificates.
    from agents.crypto.certificates import Certificate


def peer_names(certificate: Certificate) -> tuple[str, ...]:
    """Return the identities that a peer's certificate names (RFC 5216 section 5.2).

    These are the rfc822Names and user principal names of the subjectAltName; the subject's
    common names count only if there are none. Where the CA may give certain names only, it is
    the rfc822Names alone that it is held to (RFC 5280 section 4.2.1.10), and that count.
    """
    if certificate.constrained:
        return certificate.names.mail
    return certificate.names.mail + certificate.names.principals or certificate.common_names


def server_names(certificate: Certificate) -> tuple[str, ...]:
    """Return the DNS names of a server's subjectAltName (RFC 9190 section 2.2)."""
    return certificate.names.domains


@lru_cache(maxsize=256)  # A peer is compared with others, and looked up, at every step.
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
