from __future__ import annotations

import hashlib
from ipaddress import IPv6Address

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from hypothesis import given
from hypothesis import strategies as st

from agents.bootstrap.assignment import Assignment, Wish
from agents.bootstrap.keys import ike_psk, ike_root, ike_secret
from agents.crypto.emsk import derive, usage_root_key

MSK, EMSK = bytes(range(64)), bytes(range(64, 128))
HOME_AGENT, HOME_ADDRESS = IPv6Address("2001:db8:100::1"), IPv6Address("2001:db8:100::1234")
ASSIGNMENT = Assignment(HOME_AGENT, 64, HOME_ADDRESS, "ha1.home.test")


def hmac_sha256(key: bytes, data: bytes) -> bytes:
    """HMAC by RFC 2104 section 2, for a key of one block at most."""
    key = key.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(octet ^ 0x36 for octet in key) + data).digest()
    return hashlib.sha256(bytes(octet ^ 0x5C for octet in key) + inner).digest()


def expand(key: bytes, seed: bytes, length: int) -> bytes:
    """HKDF-Expand (RFC 5869 section 2.3), the same construction as prf+."""
    return HKDFExpand(hashes.SHA256(), length, seed).derive(key)


def test_the_psk_from_the_msk():
    seed = b"MIPv6-IKE-PSK" + HOME_ADDRESS.packed + HOME_AGENT.packed
    assert ike_psk(MSK, ASSIGNMENT) == hmac_sha256(MSK, seed)
    assert ike_psk(MSK, ASSIGNMENT).hex() == (
        "4cfd10f58084ebcc931576ef0b9c896a047c667c10aaba0b1f6af626d367cb3b"
    )
    unassigned = b"MIPv6-IKE-PSK" + bytes(16) + HOME_AGENT.packed
    assert ike_psk(MSK, Assignment(HOME_AGENT, 64)) == hmac_sha256(MSK, unassigned)


def test_the_psk_from_the_emsk():
    seed = b"mip6-ike-psk@mip6lab.example\0" + b"\x00\x40"
    root = hmac_sha256(EMSK, seed + b"\x01")
    root += hmac_sha256(EMSK, root + seed + b"\x02")
    assert ike_root(EMSK) == root == expand(EMSK, seed, 64)
    psk = hmac_sha256(root, b"MIPv6-IKE-PSK" + HOME_ADDRESS.packed + HOME_AGENT.packed)
    assert ike_psk(ike_root(EMSK), ASSIGNMENT) == psk
    assert psk.hex() == "d665bd9794c6ca40aab89a3d6ecd1e634f15b18d6588644c9a1de931424b1953"


def test_the_source_is_a_choice_of_the_key_alone():
    assert ike_secret("msk", MSK, b"root") == MSK
    assert ike_secret("emsk", MSK, b"root") == b"root"


@pytest.mark.parametrize("key", [MSK, ike_root(EMSK)])
def test_the_psk_is_bound_to_both_addresses_and_not_to_the_name(key):
    others = [
        Assignment(HOME_AGENT, 64, HOME_ADDRESS + 1),
        Assignment(HOME_AGENT + 1, 64, HOME_ADDRESS),
        Assignment(HOME_AGENT, 64),
    ]
    keys = {ike_psk(key, other) for other in others} | {ike_psk(key, ASSIGNMENT)}
    assert len(keys) == 4
    assert ike_psk(key, Assignment(HOME_AGENT, 64, HOME_ADDRESS)) == ike_psk(key, ASSIGNMENT)


@given(st.binary(min_size=1, max_size=256), st.binary(max_size=2048), st.integers(1, 8160))
def test_the_kdf_is_that_of_rfc_5295(key, data, length):
    seed = b"label@example.org\0" + data + length.to_bytes(2)
    assert derive(key, "label@example.org", data, length) == expand(key, seed, length)


def test_what_the_kdf_does_not_take():
    for label in ("", "a\0b@c", "ä@example.org", "a" * 256):
        with pytest.raises(ValueError, match="is no key label"):
            derive(EMSK, label)
    for length in (0, 8161):
        with pytest.raises(ValueError, match="octets of key"):
            derive(EMSK, "a@b", b"", length)
    for label in ("label", "@b", "a@", "a,b@c", "a b@c", "a@b@c", "a@" + "b" * 63, "a\x7f@b"):
        with pytest.raises(ValueError, match="is no usage label"):
            usage_root_key(EMSK, label)


def test_a_label_that_begins_another_gives_another_key():
    # The NUL between label and data sees to it (RFC 5295 section 3.1).
    assert derive(EMSK, "a@b", b"c") != derive(EMSK, "a@bc")


def test_the_wish_of_a_mobile_node():
    assert Wish.of(home=True, local=False) is Wish.HOME
    assert Wish.of(home=False, local=True) is Wish.LOCAL
    assert Wish.of(home=False, local=False) is Wish.of(home=True, local=True) is Wish.EITHER
