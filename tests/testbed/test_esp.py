"""What a capture shows is what came: ESP with a wrong bit did not, by the keys of its run."""

import json

import pytest
from scapy.layers.inet6 import MIP6MH_BA, IPv6, IPv6ExtHdrRouting
from scapy.layers.ipsec import ESP, SecurityAssociation

from testbed.trace.phases import from_capture
from tests.testbed import synthesis as syn

GCM = ("rfc4106(gcm(aes))", "AES-GCM", bytes(range(20)), "", "NULL", b"")
ALGORITHMS = [
    ("cbc(aes)", "AES-CBC", bytes(range(16)), "hmac(sha1)", "HMAC-SHA1-96", bytes(range(20))),
    ("cbc(aes)", "AES-CBC", bytes(range(16)), "hmac(sha256)", "SHA2-256-128", bytes(range(32))),
    ("cbc(aes)", "AES-CBC", bytes(range(32)), "hmac(sha512)", "SHA2-512-256", bytes(range(64))),
    GCM,
]


def association(encryption, integrity):
    return SecurityAssociation(
        ESP,
        spi=syn.SPI_IN,
        crypt_algo=encryption[0],
        crypt_key=encryption[1],
        auth_algo=integrity[0],
        auth_key=integrity[1] or None,
    )


def acknowledgement(sealed):
    """A Binding Acknowledgement in ESP, whose octets are `sealed`."""
    routing = IPv6ExtHdrRouting(type=2, segleft=1, addresses=[syn.HOA], nh=50)
    return IPv6(src=syn.HA, dst=syn.COA) / routing / sealed


@pytest.fixture
def run(tmp_path):
    """Write a run whose Binding Acknowledgements are given, with its keys or without."""

    def write(acks, algorithms=GCM, *, keys=True):
        packets = [p for p in syn.bootstrap(packet=None) if p[0] < 0.0545]
        for folder in ("captures", "keys"):
            (tmp_path / folder).mkdir()
        cipher, _, key, integrity, _, integrity_key = algorithms
        names = ("kind", "spi", "encryption", "encryption_key", "integrity", "integrity_key")
        values = ("esp", syn.SPI_IN, cipher, key.hex(), integrity, integrity_key.hex())
        ends = {"source": syn.HA, "destination": syn.HOA}
        own = {"source": syn.HOA, "destination": syn.HA, "kind": "esp", "spi": syn.SPI_OUT}
        own |= {"encryption": "cbc(aes)", "encryption_key": syn.ENCRYPTION_KEY.hex()}
        own |= {"integrity": "hmac(sha256)", "integrity_key": syn.INTEGRITY_KEY.hex()}
        lines = [dict(zip(names, values, strict=True)) | ends, own]
        if keys:
            text = "".join(json.dumps(line) + "\n" for line in lines)
            (tmp_path / "keys" / "keys.jsonl").write_text(text)
        return syn.write(tmp_path / "captures" / "A.pcapng", packets + acks)

    return write


def sealed(algorithms, sequence):
    _, cipher, key, _, digest, integrity_key = algorithms
    made = association((cipher, key), (digest, integrity_key))
    plain = IPv6(src=syn.HA, dst=syn.HOA) / MIP6MH_BA(seq=sequence, mhtime=105)
    return bytes(made.encrypt(plain)[ESP])


def altered(data, bit):
    return data[: bit // 8] + bytes([data[bit // 8] ^ 1 << bit % 8]) + data[bit // 8 + 1 :]


@pytest.mark.parametrize("algorithms", ALGORITHMS)
def test_the_acknowledgement_that_counts_is_the_first_whole_one(run, algorithms):
    first, second = sealed(algorithms, 1), sealed(algorithms, 2)
    acks = [(0.06 + bit / 1e5, acknowledgement(altered(first, bit))) for bit in range(0, 400, 7)]
    path = run([*acks, (1.5, acknowledgement(second)), (2.5, acknowledgement(second))], algorithms)
    assert from_capture(path).binding_end == pytest.approx(1.5, abs=2e-6)


def test_without_keys_the_first_acknowledgement_counts(run):
    data = sealed(GCM, 1)
    acks = [(0.06, acknowledgement(altered(data, 200))), (1.5, acknowledgement(data))]
    assert from_capture(run(acks, keys=False)).binding_end == pytest.approx(0.06, abs=2e-6)


def test_an_acknowledgement_to_somebody_else_does_not_count(run):
    data = sealed(GCM, 1)
    lost = acknowledgement(data)
    lost.dst = "2001:db8:a::82"
    path = run([(0.06, lost), (1.5, acknowledgement(data))])
    assert from_capture(path).binding_end == pytest.approx(1.5, abs=2e-6)
