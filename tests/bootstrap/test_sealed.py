from __future__ import annotations

from ipaddress import IPv6Address

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from hypothesis import given
from hypothesis import strategies as st

from agents.bootstrap import sealed
from agents.bootstrap.assignment import Assignment, Wish
from agents.bootstrap.sealed import SealContext, SealError, seal, unseal
from agents.core.record import replace

EMSK = bytes(range(64, 128))
ASSIGNMENT = Assignment(
    IPv6Address("2001:db8:100::1"), 64, IPv6Address("2001:db8:100::1234"), "ha1.home.test"
)
CONTEXT = SealContext("mn@home.test", b"\x0d" + bytes(range(64)), Wish.HOME)
SEALED = seal(ASSIGNMENT, EMSK, CONTEXT)

assignments = st.none() | st.builds(
    Assignment,
    home_agent=st.ip_addresses(v=6),
    prefix_length=st.integers(0, 128),
    home_address=st.none() | st.ip_addresses(v=6),
    home_agent_name=st.none() | st.text(st.characters(codec="ascii"), min_size=1, max_size=255),
)


def expand(key: bytes, seed: bytes, length: int) -> bytes:
    return HKDFExpand(hashes.SHA256(), length, seed).derive(key)


def cmac(key: bytes, data: bytes) -> bytes:
    mac = CMAC(algorithms.AES(key))
    mac.update(data)
    return mac.finalize()


def double(block: bytes) -> bytes:
    number = int.from_bytes(block) << 1
    return ((number ^ 0x87) % 2**128 if number >> 128 else number).to_bytes(16)


def xor(a: bytes, b: bytes) -> bytes:
    return bytes(x ^ y for x, y in zip(a, b, strict=True))


def siv(key: bytes, strings: list[bytes], text: bytes) -> bytes:
    """AES-SIV by RFC 5297 sections 2.4 and 2.6."""
    k1, k2 = key[:32], key[32:]
    block = cmac(k1, bytes(16))
    for string in strings:
        block = xor(double(block), cmac(k1, string))
    if len(text) >= 16:
        last = text[:-16] + xor(text[-16:], block)
    else:
        last = xor(double(block), (text + b"\x80").ljust(16, b"\0"))
    vector = cmac(k1, last)
    mask = ((1 << 128) - 1) ^ (1 << 63) ^ (1 << 31)
    counter = (int.from_bytes(vector) & mask).to_bytes(16)
    encryptor = Cipher(algorithms.AES(k2), modes.CTR(counter)).encryptor()
    return vector + encryptor.update(text)


@pytest.mark.parametrize(
    ("assignment", "content"),
    [
        (None, "00"),
        (Assignment(ASSIGNMENT.home_agent, 56), "01 38 20010db8010000000000000000000001"),
        (
            ASSIGNMENT,
            "07 40 20010db8010000000000000000000001 20010db8010000000000000000001234"
            + b"ha1.home.test".hex(),
        ),
    ],
)
def test_the_format(assignment, content):
    root = expand(EMSK, b"mip6-sealed-assignment@mip6lab.example\0" + b"\x00\x40", 64)
    key = expand(root, b"AES-256-SIV\0" + CONTEXT.session_id + b"\x00\x40", 64)
    strings = [b"\x01", b"mn@home.test", CONTEXT.session_id, b"\x01"]
    expected = b"\x01" + siv(key, strings, bytes.fromhex(content))
    assert seal(assignment, EMSK, CONTEXT) == expected


@given(assignments)
def test_what_is_sealed_comes_back(assignment):
    assert unseal(seal(assignment, EMSK, CONTEXT), EMSK, CONTEXT) == assignment


def test_addresses_and_name_are_not_to_be_seen():
    for part in (ASSIGNMENT.home_agent.packed, ASSIGNMENT.home_address.packed, b"ha1"):
        assert part not in SEALED


def refused(data: bytes, emsk: bytes = EMSK, context: SealContext = CONTEXT) -> str:
    with pytest.raises(SealError) as caught:
        unseal(data, emsk, context)
    return str(caught.value)


@pytest.mark.parametrize("position", range(len(SEALED)))
def test_altering_any_octet_is_detected(position):
    for flip in (0x01, 0x80, 0xFF):
        altered = bytearray(SEALED)
        altered[position] ^= flip
        assert refused(bytes(altered))


@pytest.mark.parametrize("length", range(len(SEALED)))
def test_every_truncation_is_detected(length):
    assert refused(SEALED[:length])
    assert refused(SEALED + bytes(length + 1))


@pytest.mark.parametrize(
    "change",
    [
        {"identity": "other@home.test"},
        {"identity": "MN@home.test"},
        {"session_id": b"\x0d" + bytes(64)},
        {"session_id": b""},
        {"wish": Wish.LOCAL},
        {"wish": Wish.EITHER},
    ],
)
def test_another_identity_session_or_wish_is_detected(change):
    reason = refused(SEALED, context=replace(CONTEXT, **change))
    assert "not for this subscriber, session and wish" in reason


def test_the_sealed_octets_of_another_run_of_eap_are_detected():
    assert refused(SEALED, emsk=EMSK[::-1])


def test_octets_cannot_move_between_identity_and_session():
    a = SealContext("mn@home.test", b"x1", Wish.HOME)
    b = SealContext("mn@home.testx", b"1", Wish.HOME)
    assert refused(seal(ASSIGNMENT, EMSK, a), context=b)


def test_the_case_of_the_realm_does_not_matter():
    assert unseal(SEALED, EMSK, replace(CONTEXT, identity="mn@HOME.test")) == ASSIGNMENT


def test_another_version_is_named():
    assert refused(b"\x02" + SEALED[1:]) == "the sealed home agent has version 1, version 2 came"
    assert refused(b"") == "the sealed home agent has version 1, nothing came"


@pytest.mark.parametrize(
    "content",
    [
        "08",
        "02 20010db8010000000000000000001234",
        "0000",
        "01 40 20010db80100000000000000000000",
        "01 81 20010db8010000000000000000000001",
        "01 40 20010db8010000000000000000000001 00",
        "05 40 20010db8010000000000000000000001",
        "05 40 20010db8010000000000000000000001 ff",
    ],
)
def test_bad_content_under_a_good_seal(monkeypatch, content):
    monkeypatch.setattr(sealed, "_encode", lambda _: bytes.fromhex(content))
    assert "cannot be read" in refused(seal(None, EMSK, CONTEXT))


@given(st.binary(max_size=400))
def test_random_octets_are_refused(data):
    refused(data)
    refused(b"\x01" + data)


def test_a_name_that_does_not_fit_is_the_callers_error():
    for name in ("", "a" * 256):
        with pytest.raises(ValueError, match="a home agent's name"):
            seal(replace(ASSIGNMENT, home_agent_name=name), EMSK, CONTEXT)
