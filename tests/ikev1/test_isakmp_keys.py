"""The key schedule against a second computation that shares no code with it."""

import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from agents.crypto import dh
from agents.crypto.prf import HMAC_SHA1
from agents.ike.esp import Integrity
from agents.ikev1 import ChildEstablished, Config, EspProposal, IkeProposal, Mode
from agents.ikev1.keys import cipher_key, feedback
from tests.ike import COA, HA, HOA, PSK, find
from tests.ikev1.peers import Peers


class Spy:
    """Keeps every shared secret that the Diffie-Hellman groups give out, in order."""

    def __init__(self, monkeypatch):
        self.secrets = []
        generate = dh.generate

        def spied(group, rng):
            key_pair = generate(group, rng)
            shared = key_pair.shared

            def keep(public):
                secret = shared(public)
                self.secrets.append(secret)
                return secret

            key_pair.shared = keep
            return key_pair

        monkeypatch.setattr(dh, "generate", spied)


def payloads(kind, data):
    """Split a chain by hand: (type, body) pairs."""
    found = []
    while kind:
        following, length = data[0], int.from_bytes(data[2:4])
        found.append((kind, data[4:length]))
        kind, data = following, data[length:]
    return found


def aes(key, iv, data):
    decryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()
    return decryptor.update(data) + decryptor.finalize()


def check_quick_mode(quick, prf, name, key, skeyid_a, last_block):
    """Check the hashes and identities of three messages; return the first two's payloads."""
    message_id = quick[0][20:24]
    qm_iv = hashlib.new(name, last_block + message_id).digest()[:16]
    opened = []
    for message in quick:
        opened.append(payloads(message[16], aes(key, qm_iv, message[28:])))
        qm_iv = message[-16:]
    request, answer, proof = (dict(o[:4]) for o in opened)
    ni2, nr2 = request[10], answer[10]
    assert [body for kind, body in opened[0] if kind == 5] == [
        b"\x05\x87\x00\x00" + a.packed for a in (HOA, HA)
    ]
    plain = aes(key, hashlib.new(name, last_block + message_id).digest()[:16], quick[0][28:])
    end = sum(4 + len(body) for _, body in opened[0])
    assert request[8] == prf(skeyid_a, message_id, plain[4 + len(request[8]) : end])
    plain = aes(key, quick[0][-16:], quick[1][28:])
    end = sum(4 + len(body) for _, body in opened[1])
    assert answer[8] == prf(skeyid_a, message_id, ni2, plain[4 + len(answer[8]) : end])
    assert proof[8] == prf(skeyid_a, b"\x00", message_id, ni2, nr2)
    return request, answer


@pytest.mark.parametrize(
    ("mode", "name", "bits", "pfs"),
    [
        (Mode.MAIN, "sha256", 128, None),
        (Mode.MAIN, "sha256", 256, 19),
        (Mode.MAIN, "sha1", 256, None),
        (Mode.AGGRESSIVE, "sha256", 128, 19),
        (Mode.AGGRESSIVE, "sha1", 256, None),
    ],
)
def test_every_key_hash_and_iv_of_a_whole_exchange(monkeypatch, mode, name, bits, pfs):
    spy = Spy(monkeypatch)
    proposal = IkeProposal(bits, {"sha1": 2, "sha256": 4}[name], 19)
    esp = EspProposal(128, Integrity.HMAC_SHA2_256_128)
    peers = Peers(Config(mode=mode, proposals=(proposal,), esp_proposals=(esp,), pfs=pfs))
    peers.connect(5.0)
    sent = peers.sent
    main = mode is Mode.MAIN
    shared = spy.secrets[0]

    def prf(key, *parts):
        return hmac.new(key, b"".join(parts), name).digest()

    # What went in clear.
    clear = [dict(payloads(m[16], m[28:])) for m in (sent[:4] if main else sent[:2])]
    first, second = (clear[2], clear[3]) if main else (clear[0], clear[1])
    sa_i, ni, nr, gxi, gxr = clear[0][1], first[10], second[10], first[4], second[4]
    cookies = sent[1][:16]
    cky_i, cky_r = cookies[:8], cookies[8:]

    # RFC 2409 section 5.
    skeyid = prf(PSK, ni, nr)
    skeyid_d = prf(skeyid, shared, cookies, b"\x00")
    skeyid_a = prf(skeyid, skeyid_d, shared, cookies, b"\x01")
    skeyid_e = prf(skeyid, skeyid_a, shared, cookies, b"\x02")
    key = skeyid_e
    if len(key) < bits // 8:  # Appendix B.
        k1 = prf(skeyid_e, b"\x00")
        key = k1 + prf(skeyid_e, k1)
    key = key[: bits // 8]
    id_i, id_r = (b"\x05\x00\x00\x00" + a.packed for a in (COA, HA))
    hash_i = prf(skeyid, gxi, gxr, cky_i, cky_r, sa_i, id_i)
    hash_r = prf(skeyid, gxr, gxi, cky_r, cky_i, sa_i, id_r)

    # The protected messages of phase 1, chained.
    iv = hashlib.new(name, gxi + gxr).digest()[:16]
    for message, want in zip(
        sent[4:6] if main else sent[2:3], (hash_i, hash_r) if main else (hash_i,), strict=True
    ):
        opened = dict(payloads(message[16], aes(key, iv, message[28:])))
        assert opened[8] == want
        iv = message[-16:]
    if not main:
        assert second[8] == hash_r

    # Quick mode.
    request, answer = check_quick_mode(sent[-3:], prf, name, key, skeyid_a, iv)
    ni2, nr2 = request[10], answer[10]

    # KEYMAT: 16 octets for AES, 32 for HMAC-SHA-256.
    g_qm = spy.secrets[-1] if pfs else b""
    (event,) = find(peers.mn, ChildEstablished)
    for sa in (event.pair.inbound, event.pair.outbound):
        seed = g_qm + b"\x03" + sa.spi.to_bytes(4) + ni2 + nr2
        keymat = block = prf(skeyid_d, seed)
        while len(keymat) < 48:
            block = prf(skeyid_d, block, seed)
            keymat += block
        assert sa.encryption_key == keymat[:16]
        assert sa.integrity_key == keymat[16:48]
    # The SPI of each direction is its receiver's.
    assert request[1][8 + 8 : 8 + 12] == event.pair.inbound.spi.to_bytes(4)
    assert answer[1][8 + 8 : 8 + 12] == event.pair.outbound.spi.to_bytes(4)


def test_the_cipher_key_is_cut_from_skeyid_e_or_expanded_from_it():
    skeyid_e = bytes(range(20))
    assert cipher_key(HMAC_SHA1, skeyid_e, 16) == skeyid_e[:16]
    k1 = hmac.digest(skeyid_e, b"\0", "sha1")
    k2 = hmac.digest(skeyid_e, k1, "sha1")
    assert cipher_key(HMAC_SHA1, skeyid_e, 32) == (k1 + k2)[:32]


def test_keymat_is_expanded_by_feedback():
    k1 = hmac.digest(b"key", b"seed", "sha1")
    k2 = hmac.digest(b"key", k1 + b"seed", "sha1")
    k3 = hmac.digest(b"key", k2 + b"seed", "sha1")
    assert feedback(HMAC_SHA1, b"key", b"seed", 50) == (k1 + k2 + k3)[:50]
