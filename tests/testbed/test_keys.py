"""Keys for Wireshark, tried with Wireshark's own programs."""

import hashlib
import json
import stat
import struct

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from testbed.base.jsonl import DataError
from testbed.trace import keys
from tests.testbed import synthesis as syn
from tests.wireshark import rows, tshark


def esp_line(source, destination, spi):
    return {
        "kind": "esp",
        "source": source,
        "destination": destination,
        "spi": spi,
        "encryption": "cbc(aes)",
        "encryption_key": syn.ENCRYPTION_KEY.hex(),
        "integrity": "hmac(sha256)",
        "integrity_key": syn.INTEGRITY_KEY.hex(),
    }


BOTH = [esp_line(syn.HOA, syn.HA, syn.SPI_OUT), esp_line(syn.HA, syn.HOA, syn.SPI_IN)]


def write_keys(folder, lines):
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / "keys.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def ike_main_mode(key):
    """Main mode messages 1 to 5, the last one encrypted with `key` (RFC 2409 appendix B)."""

    def message(next_payload, body, flags=0):
        header = b"initiatr" + b"respondr" + bytes([next_payload, 0x10, 2, flags])
        return header + struct.pack("!II", 0, 28 + len(body)) + body

    def payload(next_payload, body):
        return struct.pack("!BBH", next_payload, 0, 4 + len(body)) + body

    attributes = struct.pack("!10H", 0x8001, 7, 0x800E, 128, 0x8002, 4, 0x8003, 1, 0x8004, 14)
    transform = payload(0, bytes([1, 1, 0, 0]) + attributes)
    proposal = payload(0, bytes([1, 1, 0, 1]) + transform)
    association = message(1, payload(0, struct.pack("!II", 1, 1) + proposal))
    public = [bytes([n]) * 256 for n in (1, 2)]
    exchanges = [message(4, payload(10, p) + payload(0, bytes(32))) for p in public]
    vector = hashlib.sha256(public[0] + public[1]).digest()[:16]
    clear = payload(8, bytes([5, 0, 0, 0]) + bytes(16)) + payload(0, bytes(32))
    clear += bytes(-len(clear) % 16)
    encryptor = Cipher(algorithms.AES(key), modes.CBC(vector)).encryptor()
    identity = message(5, encryptor.update(clear), flags=1)
    sides = [syn.from_mn, syn.to_mn, syn.from_mn, syn.to_mn, syn.from_mn]
    data = [association, association, *exchanges, identity]
    return [(i / 100, side(d, 500)) for i, (side, d) in enumerate(zip(sides, data, strict=True))]


@pytest.mark.parametrize("options", [(), ("-C", "mip6lab")])
def test_tshark_shows_the_binding_update_inside_esp(tmp_path, options):
    capture = syn.write(tmp_path / "A.pcapng", syn.bootstrap())
    profile = keys.wireshark_profile(write_keys(tmp_path / "keys", BOTH))

    fields = ("mip6.mhtype", "ipv6.opt.mipv6.home_address", "mip6.acoa.acoa", "esp.icv_good")
    shown = rows(capture, *fields, where="mipv6", options=options, profile=profile)

    assert shown == [f"5\t{syn.HOA}\t{syn.COA}\t1", "6\t\t\t1"]
    assert not tshark(capture, "-Y", "_ws.malformed", profile=profile)


def test_without_the_profile_there_is_only_esp(tmp_path):
    capture = syn.write(tmp_path / "A.pcapng", syn.bootstrap())
    profile = keys.wireshark_profile(write_keys(tmp_path / "keys", []))

    assert not rows(capture, "frame.number", where="mipv6", profile=profile)
    assert len(rows(capture, "frame.number", where="esp", profile=profile)) == 2


def test_tshark_decrypts_main_mode(tmp_path):
    key = bytes(range(16))
    capture = syn.write(tmp_path / "A.pcapng", ike_main_mode(key))
    line = {"kind": "ikev1", "initiator_cookie": b"initiatr".hex(), "encryption_key": key.hex()}
    profile = keys.wireshark_profile(write_keys(tmp_path / "keys", [line]))

    found = rows(capture, "frame.number", where="isakmp.id.type == 5", profile=profile)
    assert found == ["5"]


def test_keys_are_for_their_owner_only(tmp_path):
    profile = keys.wireshark_profile(write_keys(tmp_path / "keys", BOTH))

    for path in profile.rglob("*"):
        if path.is_file():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(profile.stat().st_mode) == 0o700


def test_a_profile_can_be_made_again_and_of_nothing(tmp_path):
    folder = tmp_path / "keys"
    folder.mkdir()
    assert (keys.wireshark_profile(folder) / "esp_sa").read_text() == ""

    write_keys(folder, [*BOTH, *BOTH])
    assert len((keys.wireshark_profile(folder) / "esp_sa").read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"spi": 0}, r"keys\.jsonl:2: .*spi"),
        ({"kind": "rot13"}, r"keys\.jsonl:2: .*rot13"),
        ({"encryption": "cbc(x)"}, r"keys\.jsonl: ESP key 2: .*cbc\(x\)"),
        ({"encryption_key": "xyz"}, r"keys\.jsonl: ESP key 2: "),
        ({"source": '::1","'}, r"keys\.jsonl: ESP key 2: "),
    ],
)
def test_bad_keys_are_named(tmp_path, change, complaint):
    folder = write_keys(tmp_path / "keys", [BOTH[0], BOTH[1] | change])

    with pytest.raises(DataError, match=complaint):
        keys.wireshark_profile(folder)


def test_no_key_is_in_a_complaint_or_a_repr(tmp_path):
    folder = write_keys(tmp_path / "keys", [BOTH[0] | {"encryption_key": "beefs"}])

    with pytest.raises(DataError) as raised:
        keys.wireshark_profile(folder)
    assert "beefs" not in str(raised.value)
    secret = "0badf00d"
    key = keys.EspKey("::1", "::2", 1, "cbc(aes)", secret, "hmac(sha256)", secret)
    assert secret not in repr(key)
    assert secret not in repr(keys.Ikev1Key("00" * 8, secret))
