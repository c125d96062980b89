import random

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, x25519

from agents.core.machine import PeerError
from agents.crypto import dh

RNG = random.SystemRandom()


def floor_of_pi_times(power: int) -> int:
    """pi * 2**power by Machin's formula, for the RFC 3526 definition of the primes."""
    guard = 64
    one = 1 << (power + guard)

    def arctan(x: int) -> int:
        term, total, n, sign = one // x, one // x, 3, -1
        while term:
            term //= x * x
            total += sign * (term // n)
            n, sign = n + 2, -sign
        return total

    return (4 * (4 * arctan(5) - arctan(239))) >> guard


def test_modp2048_prime_is_the_one_that_rfc_3526_section_3_defines():
    prime = 2**2048 - 2**1984 - 1 + 2**64 * (floor_of_pi_times(1918) + 124476)
    assert dh.GROUPS[dh.MODP2048].prime == prime


@pytest.mark.parametrize(
    ("number", "public", "secret"), [(14, 256, 256), (19, 64, 32), (31, 32, 32)]
)
def test_two_ends_agree(number, public, secret):
    a, b = dh.generate(number, RNG), dh.generate(number, RNG)
    assert len(a.public) == len(b.public) == public
    assert a.shared(b.public) == b.shared(a.public)
    assert len(a.shared(b.public)) == secret


def test_modp_secret_equals_plain_exponentiation():
    group = dh.GROUPS[dh.MODP2048]
    key = dh.generate(dh.MODP2048, RNG)
    exponent = 0xC0FFEE
    peer = pow(2, exponent, group.prime).to_bytes(256)
    assert key.shared(peer) == pow(int.from_bytes(key.public), exponent, group.prime).to_bytes(256)


def test_modp_secret_keeps_its_leading_zeros(monkeypatch):
    key = dh.generate(dh.MODP2048, RNG)
    monkeypatch.setattr(key, "_private", type("K", (), {"exchange": lambda _s, _k: b"\x05"})())
    peer = dh.generate(dh.MODP2048, RNG).public
    assert key.shared(peer) == b"\x05".rjust(256, b"\0")


def test_ecp256_vector_of_rfc_5903_section_8_1():
    initiator = 0xC88F01F510D9AC3F70A292DAA2316DE544E9AAB8AFE84049C62A9C57862D1433
    peer = bytes.fromhex(
        "D12DFB5289C8D4F81208B70270398C342296970A0BCCB74C736FC7554494BF63"
        "56FBF3CA366CC23E8157854C13C58D6AAC23F046ADA30F8353E74F33039872AB"
    )
    key = dh.generate(dh.ECP256, RNG)
    key._private = ec.derive_private_key(initiator, ec.SECP256R1())
    assert key.shared(peer) == bytes.fromhex(
        "D6840F6B42F6EDAFD13116E0E12565202FEF8E9ECE7DCE03812464D04B9442DE"
    )


@pytest.mark.parametrize("value", [0, 1, dh._MODP2048_PRIME - 1, dh._MODP2048_PRIME])
def test_modp_values_of_small_subgroups_are_refused(value):
    with pytest.raises(PeerError):
        dh.generate(dh.MODP2048, RNG).shared(value.to_bytes(256))


@pytest.mark.parametrize("number", [14, 19, 31])
@pytest.mark.parametrize("length", [0, 1, 31, 33, 63, 65, 128, 255, 257])
def test_public_values_of_a_wrong_length_are_refused(number, length):
    with pytest.raises(PeerError):
        dh.generate(number, RNG).shared(b"\x02" * length)


def test_a_pair_of_coordinates_off_the_curve_is_refused():
    with pytest.raises(PeerError):
        dh.generate(dh.ECP256, RNG).shared(bytes(63) + b"\x05")


def test_x25519_vector_of_rfc_7748_section_5_2():
    scalar = "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4"
    point = "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c"
    key = dh.generate(dh.CURVE25519, RNG)
    key._private = x25519.X25519PrivateKey.from_private_bytes(bytes.fromhex(scalar))
    product = "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"
    assert key.shared(bytes.fromhex(point)) == bytes.fromhex(product)


@pytest.mark.parametrize("point", [bytes(32), b"\1" + bytes(31)])
def test_points_of_low_order_are_refused(point):
    with pytest.raises(PeerError, match="low order"):
        dh.generate(dh.CURVE25519, RNG).shared(point)


@pytest.mark.parametrize("number", dh.GROUPS)
def test_a_key_pair_comes_of_what_the_host_draws_and_of_nothing_else(number):
    one, same, other = (dh.generate(number, random.Random(seed)) for seed in (1, 1, 2))
    assert one.public == same.public != other.public
    assert one.shared(other.public) == other.shared(same.public)


def test_a_key_pair_made_ahead_is_given_out_once():
    same, pairs = random.Random(1), dh.KeyPairs(random.Random(1))
    pairs.prepare(dh.CURVE25519)
    pairs.prepare(dh.CURVE25519)
    given = [pairs.take(dh.CURVE25519).public for _ in range(3)]
    assert given == [dh.generate(dh.CURVE25519, same).public for _ in range(3)]
