"""Captures of simulated bootstraps: tshark reads them, deciphers them, and finds no fault."""

from __future__ import annotations

import re
from ipaddress import IPv6Address

import pytest

from agents.ike.esp import Encryption, EspPair, EspSa, Integrity
from agents.kernel.packet import ICMPV6, MOBILITY_HEADER, TCP, UDP, Packet, Segment
from agents.nodes.keylog import KeyLog
from agents.simulation.frames import frames, ipv6, size
from testbed.trace import keys, pcapng
from testbed.trace.dissect import dissect
from testbed.trace.frames import read_frames
from tests.simulation.scenes import SIMULATED, WITHOUT_IPSEC, bootstrapped, laboratory
from tests.wireshark import FAULTS, rows

CHECKS = [
    word for name in ("udp.check_checksum", "tcp.check_checksum") for word in ("-o", f"{name}:TRUE")
]
UNKNOWN = {
    1: "Home-Agent-Wish: no standard lets the mobile node's wish reach the home AAA server",
    2: "Sealed-Assignment: pana-fast's own",
}
"""Why Wireshark does not know an AVP of the vendor that RFC 5612 reserves for examples."""

A, B = IPv6Address("2001:db8::a"), IPv6Address("2001:db8::b")
HOME = IPv6Address("2001:db8:1::1")
MACS = bytes([2, 0, 0, 0, 0, 1]), bytes([2, 0, 0, 0, 0, 2])
UPDATE = bytes.fromhex("3b01050000000001c0000069") + bytes(4)


def capture(interface, path):
    """Capture at an interface; return what writes the capture."""
    packets = []

    def tap(time, frame):
        packets.append(pcapng.Packet(round(time * 1e9), 0, frame))

    interface.tap = tap
    return lambda: pcapng.write(path, [interface.name], packets)


def profile_of(folder, sas):
    """Return a profile for tshark with the keys of SAs."""
    lines = []
    for sa in sas:
        KeyLog(lambda _name, line: lines.append(line)).esp(EspPair(sa, sa))
    (folder / "keys.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return keys.wireshark_profile(folder)


@pytest.mark.parametrize("name", [*SIMULATED, "pana-ikev2 through a relay"])
def test_tshark_reads_all_of_a_bootstrap_and_finds_no_fault(name, tmp_path):
    lab = laboratory(name)
    paths = {}
    for host in "AC":
        interface = next(iter(lab.stacks[host].interfaces.values()))
        path = tmp_path / f"{host}.pcapng"
        paths[path] = capture(interface, path)
    lab.start()
    assert lab.run(60.0, lambda: bootstrapped(lab))
    lab.run(lab.world.clock.now + 3.0)
    profile = profile_of(tmp_path, lab.stacks["A"].kernel.sad)
    found = set()
    for path, write in paths.items():
        write()
        fields = "_ws.expert.message", "mip6.mhtype", "esp.icv_good"
        where = f"({FAULTS}) or mip6.mhtype"
        for row in rows(path, *fields, where=where, options=CHECKS, profile=profile):
            fault, *header = row.split("\t")
            if fault:
                number, vendor = re.match(r"Unknown AVP (\d+) \(vendor=(Example )?", fault).groups()
                assert vendor
                assert int(number) in UNKNOWN
            found.add((path.stem, *header))
    bare = name in WITHOUT_IPSEC
    good = "" if bare else "1"
    assert found >= {("A", "5", good), ("A", "6", good)}
    own = tmp_path / "A.pcapng"
    labels = {message.label for message in dissect(read_frames(own))}
    behind = "" if bare else " in ESP"
    assert {f"Binding Update{behind}", f"Binding Ack{behind}"} <= labels


def sa(encryption, key, integrity=Integrity.NONE, integrity_key=b""):
    return EspSa(
        A,
        B,
        len(key) << 8 | len(integrity_key),
        MOBILITY_HEADER,
        encryption,
        key,
        integrity,
        integrity_key,
        lifetime=60.0,
    )


PROTECTION = [
    sa(Encryption.AES_GCM_16, bytes(range(20))),
    sa(Encryption.AES_GCM_16, bytes(range(36))),
    *(
        sa(Encryption.AES_CBC, bytes(range(32)), integrity, bytes(range(length)))
        for integrity, length in (
            (Integrity.HMAC_SHA1_96, 20),
            (Integrity.HMAC_SHA2_256_128, 32),
            (Integrity.HMAC_SHA2_384_192, 48),
            (Integrity.HMAC_SHA2_512_256, 64),
        )
    ),
]


def written(path, packets):
    """Write a capture of packets."""
    made = [frame for packet in packets for frame in frames(packet, *MACS)]
    pcapng.write(path, ["eth0"], [pcapng.Packet(0, 0, frame) for frame in made])
    return path


def test_tshark_deciphers_what_is_protected(tmp_path):
    packets = [
        Packet(A, B, MOBILITY_HEADER, payload=UPDATE, home_address=HOME, esp=used, esp_number=7)
        for used in PROTECTION
    ]
    path = written(tmp_path / "esp.pcapng", packets)
    profile = profile_of(tmp_path, PROTECTION)
    assert rows(path, "frame.number", where=FAULTS, profile=profile) == []
    fields = "esp.spi", "esp.sequence", "mip6.mhtype", "esp.icv_good"
    deciphered = [[f"0x{used.spi:08x}", "7", "5", "1"] for used in PROTECTION]
    assert [row.split("\t") for row in rows(path, *fields, profile=profile)] == deciphered


PACKETS = [
    Packet(A, B, UDP, 1, 2, b"odd"),
    Packet(A, B, TCP, 1, 2, segment=Segment(0x14, 0, 1)),
    Packet(A, B, TCP, 1, 3, segment=Segment(0x02, 7, 0, 64800, 1, 2)),
    Packet(A, B, TCP, 1, 4, b"x", segment=Segment(0x18, 7, 1, 64800, 1, 2)),
    Packet(A, B, UDP, 1, 2, bytes(1452)),
    Packet(A, B, UDP, 1, 2, bytes(1453)),
    Packet(A, B, UDP, 1, 2, bytes(5000)),
    Packet(A, B, ICMPV6, payload=bytes((128, 0)) + bytes(6)),
    Packet(A, B, MOBILITY_HEADER, payload=UPDATE, routing=HOME),
    Packet(A, B, UDP, 1, 2, bytes(1450)).encapsulated(HOME, B),
    *(
        Packet(A, B, MOBILITY_HEADER, payload=UPDATE, home_address=HOME, esp=used)
        for used in PROTECTION
    ),
]


@pytest.mark.parametrize("packet", PACKETS)
def test_the_size_of_a_packet_is_that_of_its_frames(packet):
    made = frames(packet, *MACS)
    assert size(packet) == sum(map(len, made))
    assert max(map(len, made)) <= 1514
    assert (len(made) > 1) == (len(ipv6(packet)) > 1500)


def test_tshark_finds_no_fault_in_the_frames_of_a_packet(tmp_path):
    path = written(tmp_path / "packets.pcapng", PACKETS)
    faults = f"({FAULTS}) and not tcp.flags.reset == 1"
    assert rows(path, "_ws.expert.message", where=faults, options=CHECKS) == []
