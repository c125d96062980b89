"""Keys, AUTH and encrypted payloads computed a second time from what went over the link."""

from __future__ import annotations

import hmac

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from agents.core.record import replace
from agents.crypto import dh
from agents.ikev2 import EspProposal, IkeEstablished, IkeProposal
from agents.ikev2.constants import PayloadType
from agents.ikev2.payloads import KeyExchange
from agents.ikev2.wire import Message, Payload, decode_chain, split_datagram
from tests.ike import COA, HA, PSK, find
from tests.ikev2.peers import FAST, Peers, pairs

HASH = {5: hashes.SHA256(), 6: hashes.SHA384(), 7: hashes.SHA512()}
ICV = {12: 16, 13: 24, 14: 32}
CASES = [
    (IkeProposal(20, 128, 0, 5, 31), EspProposal(20, 256)),
    (IkeProposal(20, 256, 0, 7, 19), EspProposal(12, 128, 12)),
    (IkeProposal(12, 128, 12, 5, 14), EspProposal(12, 256, 14)),
    (IkeProposal(12, 256, 14, 6, 19), EspProposal(20, 128)),
]


class Oracle:
    """Everything that both ends know, found once more by the formulas of RFC 7296."""

    def __init__(self, monkeypatch, ike: IkeProposal, esp: EspProposal, **config) -> None:
        self.ike, self.esp = ike, esp
        self.pairs: list[dh.KeyPair] = []

        def generate(group, rng):
            self.pairs.append(dh.GROUPS[group].generate(rng))
            return self.pairs[-1]

        monkeypatch.setattr(dh, "generate", generate)
        self.peers = Peers(replace(FAST, proposals=(ike,), esp_proposals=(esp,), **config))
        self.peers.connect(1.0)
        self.messages = [split_datagram(data) for data in self.peers.sent]
        clear = [decode_chain(m.first, m.body) for m in self.messages[:2]]
        self.nonces = [body(p, PayloadType.NONCE) for p in clear]
        public = KeyExchange.decode(body(clear[1], PayloadType.KE)).public
        shared = self.pairs[0].shared(public)
        header = self.messages[1].header
        both = b"".join(self.nonces)
        self.keys = self.cut(self.prf(both, shared), both + header.spi_i + header.spi_r)

    def prf(self, key: bytes, data: bytes) -> bytes:
        return hmac.digest(key, data, HASH[self.ike.prf].name)

    def expand(self, key: bytes, seed: bytes, length: int) -> bytes:
        """prf+ is the expansion step of HKDF (RFC 5869)."""
        return HKDFExpand(HASH[self.ike.prf], length, seed).derive(key)

    def cut(self, skeyseed: bytes, seed: bytes) -> dict[str, bytes]:
        out = HASH[self.ike.prf].digest_size
        digest = {0: 0, 12: 32, 13: 48, 14: 64}[self.ike.integrity]
        cipher = self.ike.key_bits // 8 + (0 if digest else 4)
        lengths = {
            "d": out,
            "ai": digest,
            "ar": digest,
            "ei": cipher,
            "er": cipher,
            "pi": out,
            "pr": out,
        }
        stream, found = self.expand(skeyseed, seed, sum(lengths.values())), {}
        for name, length in lengths.items():
            found[name], stream = stream[:length], stream[length:]
        return found

    def open(self, message: Message, keys: dict[str, bytes] | None = None) -> tuple[Payload, ...]:
        keys = keys or self.keys
        side = "i" if message.header.initiator else "r"
        key, head, text = keys["e" + side], message.data[:32], message.data[32:]
        if self.ike.integrity:
            size = ICV[self.ike.integrity]
            name = {12: "sha256", 13: "sha384", 14: "sha512"}[self.ike.integrity]
            mac = hmac.digest(keys["a" + side], message.data[:-size], name)
            assert mac[:size] == message.data[-size:]
            decryptor = Cipher(algorithms.AES(key), modes.CBC(text[:16])).decryptor()
            plain = decryptor.update(text[16:-size])
        else:
            plain = AESGCM(key[:-4]).decrypt(key[-4:] + text[:8], text[8:], head)
        return decode_chain(message.data[28], plain[: len(plain) - 1 - plain[-1]])

    def keymat(self, keys: dict[str, bytes], seed: bytes) -> list[bytes]:
        digest = {0: 0, 12: 32, 14: 64}[self.esp.integrity]
        cipher = self.esp.key_bits // 8 + (0 if digest else 4)
        stream = self.expand(keys["d"], seed, 2 * (cipher + digest))
        back = stream[cipher + digest :]
        return [stream[:cipher], stream[cipher : cipher + digest], back[:cipher], back[cipher:]]


def body(payloads: tuple[Payload, ...], kind: int) -> bytes:
    return next(p.body for p in payloads if p.type == kind)


def esp_keys(pair) -> list[bytes]:
    out, back = pair.outbound, pair.inbound
    return [out.encryption_key, out.integrity_key, back.encryption_key, back.integrity_key]


@pytest.mark.parametrize(("ike", "esp"), CASES)
def test_keys_and_auth(monkeypatch, ike, esp):
    oracle = Oracle(monkeypatch, ike, esp)
    (event,) = find(oracle.peers.mn, IkeEstablished)
    keys, nonces = oracle.keys, oracle.nonces
    assert (event.sk_ei, event.sk_er) == (keys["ei"], keys["er"])
    assert (event.sk_ai, event.sk_ar) == (keys["ai"], keys["ar"])
    assert esp_keys(pairs(oracle.peers.mn)[0]) == oracle.keymat(keys, nonces[0] + nonces[1])

    secret = oracle.prf(PSK, b"Key Pad for IKEv2")
    for number, identity, address, key in (
        (0, PayloadType.ID_I, COA, "pi"),
        (1, PayloadType.ID_R, HA, "pr"),
    ):
        inner = oracle.open(oracle.messages[2 + number])
        assert body(inner, identity) == b"\5\0\0\0" + address.packed
        mac = oracle.prf(keys[key], body(inner, identity))
        octets = oracle.messages[number].data + nonces[1 - number] + mac
        assert body(inner, PayloadType.AUTH) == b"\2\0\0\0" + oracle.prf(secret, octets)


@pytest.mark.parametrize("pfs", [None, 31])
@pytest.mark.parametrize(("ike", "esp"), CASES[:2])
def test_keys_of_a_replaced_child(monkeypatch, ike, esp, pfs):
    oracle = Oracle(monkeypatch, ike, esp, pfs=pfs)
    peers = oracle.peers
    peers.mn.rekey_children(HA, 1.0)
    peers.link.run(2.0)
    request, response = (oracle.open(split_datagram(data)) for data in peers.sent[4:6])
    seed = body(request, PayloadType.NONCE) + body(response, PayloadType.NONCE)
    if pfs:
        public = KeyExchange.decode(body(response, PayloadType.KE)).public
        seed = oracle.pairs[-2].shared(public) + seed
    (pair,) = pairs(peers.mn)
    assert esp_keys(pair) == oracle.keymat(oracle.keys, seed)


@pytest.mark.parametrize(("ike", "esp"), CASES)
def test_keys_of_a_replaced_ike_sa(monkeypatch, ike, esp):
    oracle = Oracle(monkeypatch, ike, esp)
    peers = oracle.peers
    peers.ha.rekey_ike(COA, 1.0)
    peers.link.run(2.0)
    request, response = (oracle.open(split_datagram(data)) for data in peers.sent[4:6])
    nonces = body(request, PayloadType.NONCE) + body(response, PayloadType.NONCE)
    public = KeyExchange.decode(body(response, PayloadType.KE)).public
    shared = oracle.pairs[-2].shared(public)
    event = find(peers.ha, IkeEstablished)[-1]
    skeyseed = oracle.prf(oracle.keys["d"], shared + nonces)
    keys = oracle.cut(skeyseed, nonces + event.spi_i + event.spi_r)
    assert (event.sk_ei, event.sk_er) == (keys["ei"], keys["er"])
    assert (event.sk_ai, event.sk_ar) == (keys["ai"], keys["ar"])
    # What the new SA protects is encrypted with them, and its ids start at 0.
    peers.mn.delete(HA, 2.0)
    peers.link.run(3.0)
    last = split_datagram(peers.sent[-2])
    assert (last.header.message_id, last.header.initiator) == (0, False)
    assert body(oracle.open(last, keys), PayloadType.DELETE) == b"\1\0\0\0"


@pytest.mark.parametrize("ike", [case[0] for case in CASES])
def test_no_iv_comes_twice(ike):
    peers = Peers(replace(FAST, proposals=(ike,)))
    peers.connect(1.0)
    for second in range(1, 9):
        peers.mn.rekey_children(HA, float(second))
        peers.ha.rekey_children(COA, float(second))
        peers.link.run(second + 0.9)
    sealed = [data for data in peers.sent if data[18] != 34]
    length = 16 if ike.integrity else 8
    for mine in (True, False):
        ivs = [d[32 : 32 + length] for d in sealed if bool(d[19] & 8) == mine]
        assert len(set(ivs)) == len(ivs) > 10
