"""A run as a ladder: its messages with all their fields, its critical path, its events."""

import random
import shutil
import struct
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from scapy.layers.inet import TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from testbed.base.jsonl import DataError
from testbed.report import packed
from testbed.report.ladder import _Builder, ladder
from testbed.results import folder as results
from testbed.trace.decode.decoder import read
from testbed.trace.decode.tls import Session
from testbed.trace.flights import Flight, flights
from tests.testbed import sample
from tests.testbed.simulated import carry_out

EXPERIMENT = """
name = "told"
approach = "pana-ikev1"
topology = "paper"
runs = 1

[settings]
duplicate_address_detection = false

[variants.ikev1]

[variants.draft12.settings]
dialect = "draft12"

[variants.radius.roles.aaa]
protocol = "radius"

[variants.ikev2]
approach = "pana-ikev2"

[variants.dhcpv6]
approach = "dhcpv6-ikev2"
topology = "dhcpv6"

[variants.dns]
approach = "dns-ikev2"

[variants.dhaad]
approach = "dhaad-ikev2"

[variants.option]
approach = "static-auth"
"""
BOOTSTRAP = {"PANA", "Diameter", "RADIUS", "DHCPv6", "DNS", "DHAAD", "IKEv1", "IKEv2", "MIPv6"}
OPEN = ("dns", "dhaad", "option")
"""Those without network access, and so without the home AAA server before IKE."""


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    return results.load(carry_out(tmp_path_factory.mktemp("told"), EXPERIMENT))


def of(told, variant):
    [run] = told.of(variant)
    return ladder(told, run)


def fields(one, protocol, label):
    found = [
        m.fields
        for m in one.messages
        if one.protocols[m.protocol] == protocol and m.label.startswith(label)
    ]
    assert found, f"no {protocol} {label}"
    return found[0].splitlines()


def in_order(lines, *wanted):
    rest = iter(line.strip() for line in lines)
    return all(any(line.startswith(one) for line in rest) for one in wanted)


@pytest.mark.parametrize("variant", ["ikev1", "draft12", "radius", "ikev2", "dhcpv6", *OPEN])
def test_every_message_of_a_bootstrap_has_fields(told, variant):
    one = of(told, variant)

    assert one.ok
    for message in one.messages:
        if one.protocols[message.protocol] in BOOTSTRAP:
            assert len(message.fields.splitlines()) > 2, message
    protocols = {one.protocols[m.protocol] for m in one.messages}
    assert variant in OPEN or protocols & {"Diameter", "RADIUS"}


@pytest.mark.parametrize("variant", ["ikev1", "ikev2", "dhcpv6"])
def test_the_critical_path_has_two_messages_a_round_trip(told, variant):
    one, [run] = of(told, variant), told.of(variant)
    counted = Counter(one.links[m.link] for m in one.messages if m.critical)

    trips = {name: 2 * link.round_trips for name, link in run.traffic.links.items()}
    assert counted == {name: number for name, number in trips.items() if number}


def test_phases_are_those_of_the_run_and_end_with_its_messages(told):
    one, [run] = of(told, "ikev1"), told.of("ikev1")

    assert [name for name, _, _ in one.phases] == [
        name for name, length in run.phases.items() if length and name != "total"
    ]
    for name, begin, end in one.phases:
        assert (end - begin) / 1e9 == pytest.approx(run.phases[name], abs=2e-9)
    acked = [m for m in one.messages if m.label == "Binding Ack in ESP"]
    assert one.phases[-1][2] == pytest.approx(acked[-1].arrived, abs=2)
    assert [host for host, _ in one.hosts] == ["A", "B", "C", "CN"]


def test_events_are_at_their_messages(told):
    one = of(told, "ikev1")
    sent = next(m.sent for m in one.messages if m.label == "Binding Update in ESP")
    [event] = [e for e in one.events if e.event == "BindingUpdateSent"]

    assert abs(event.time - sent) < 1e6
    assert one.hosts[event.host][0] == "A"
    assert "lifetime: 420" in event.detail


def test_eap_tls_ike_and_esp_are_opened_by_the_keys(told):
    one = of(told, "ikev1")
    identity = fields(one, "PANA", "PAN Identity")
    assert in_order(identity, "EAP-Payload", "EAP Response", "Type: Identity", "Identity: mn@home")
    with_certificate = [m for m in one.messages if "Certificate: CN=mn@home.test" in m.fields]
    assert {one.protocols[m.protocol] for m in with_certificate} == {"PANA", "Diameter"}
    assert in_order(fields(one, "IKEv1", "main 5"), "Encrypted, opened", "Identification: IPv6")
    quick = fields(one, "IKEv1", "quick 1")
    assert in_order(quick, "Encrypted, opened", "Hash", "Security Association", "Proposal 1: ESP")
    spi = next(line for line in quick if "SPI " in line).rpartition(" ")[2]
    acked = fields(one, "MIPv6", "Binding Ack")
    assert in_order(acked, "Routing header", f"ESP: SPI {spi}", "Encrypted, op", "Mobility Header")
    assert in_order(acked, "Status: accepted (0)", "Lifetime: 420 s")
    assert in_order(
        fields(of(told, "ikev2"), "IKEv2", "IKE_AUTH"),
        "Encrypted, opened",
        "Identification, initiator: ",
        "Traffic Selector, initiator",
        "Selector: ",
    )


def test_other_carriers_tell_theirs(told):
    asked = fields(of(told, "radius"), "RADIUS", "Access-Request")
    assert in_order(asked, "RADIUS Access-Request", "User-Name: mn@home.test", "EAP-Message")
    start = fields(of(told, "draft12"), "PANA", "PSR")
    assert in_order(start, "Dialect: draft-ietf-pana-pana-12", "Sequence Number")
    reply = fields(of(told, "dhcpv6"), "DHCPv6", "Reply")
    assert in_order(reply, "DHCPv6 Reply", "Server Identifier", "MIP6")
    assert in_order(fields(of(told, "dns"), "DNS", "DNS answer"), "DNS answer", "Answer: ")
    reply = fields(of(told, "dhaad"), "DHAAD", "reply")
    assert in_order(reply, "ICMPv6: Home Agent Address Disc", "Identifier", "Home agent: 2001:")
    update = fields(of(told, "option"), "MIPv6", "Binding Update")
    assert in_order(update, "Alternate", "Mobile Node Id", "Replay Prot", "Mobility Message Auth")


def test_key_material_is_not_told(told):
    """The MSK crosses the core link in the clear here: the capture has it, the page must not."""
    one, [run] = of(told, "ikev1"), told.of("ikev1")
    capture = (results.run_folder(told.folder, run.run) / "captures" / "C.pcapng").read_bytes()
    at = capture.index(b"\0\0\x01\xd0")  # EAP-Master-Session-Key.
    key = capture[at + 8 : at + 72]

    text = "\n".join(m.fields for m in one.messages)
    assert "EAP-Master-Session-Key: 64 octets, not shown" in text
    assert key.hex()[:16] not in text


def test_without_keys_there_is_what_is_in_the_clear(told, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(told.folder, folder)
    for keys in folder.glob("runs/*/keys"):
        shutil.rmtree(keys)

    one = of(results.load(folder), "ikev1")

    assert in_order(fields(one, "IKEv1", "main 5"), "Encrypted: ")
    assert in_order(fields(one, "MIPv6", "Binding Update"), "Home Address option", "Encrypted: ")
    assert not any("CN=mn@home.test" in m.fields for m in one.messages)


def test_bad_bytes_stop_no_ladder(told):
    rng = random.Random(1)
    for run in told.runs:
        folder = results.run_folder(told.folder, run.run)
        whole = flights(folder / "captures", told.topology(run.variant))
        bent = [
            replace(one, data=bytes(one.data[:14]) + _bent(one.data[14:], rng)) for one in whole
        ]
        assert len(list(read(bent, folder / "keys"))) == len(whole)


def _bent(data, rng):
    octets = bytearray(data[: rng.randint(0, len(data))] if rng.random() < 0.3 else data)
    for _ in range(3):
        if octets:
            octets[rng.randrange(len(octets))] = rng.randrange(256)
    return bytes(octets)


def test_runs_without_captures_have_no_ladder_and_damaged_ones_say_why(tmp_path):
    folder = sample.make(tmp_path, runs=2, failed=0)
    loaded = results.load(folder)
    first, second = (results.run_folder(folder, run.run) for run in loaded.runs[:2])
    shutil.rmtree(first / "captures")
    capture = second / "captures" / "A.pcapng"
    capture.write_bytes(capture.read_bytes()[:100])

    assert ladder(loaded, loaded.runs[0]) is None
    with pytest.raises(DataError, match=r"A\.pcapng"):
        ladder(loaded, loaded.runs[1])
    found = packed.pack(loaded)
    assert list(found.missing) == [2]
    assert not found.has(1)
    assert found.has(3)


def test_a_bug_in_the_ladder_of_one_run_takes_no_other_runs(tmp_path, monkeypatch):
    loaded = results.load(sample.make(tmp_path, runs=2, failed=0))

    def some(results, run):
        if run.run == 2:
            raise NotImplementedError("octets of which nobody has thought")
        return ladder(results, run)

    monkeypatch.setattr(packed, "ladder", some)
    found = packed.pack(loaded)
    assert found.missing == {2: "NotImplementedError: octets of which nobody has thought"}
    assert found.has(1)
    assert found.has(3)


def test_there_is_room_first_for_a_run_of_each_variant_and_for_failures(tmp_path, monkeypatch):
    folder = sample.make(tmp_path, runs=3, failed=1)
    loaded = results.load(folder)
    every = packed.pack(loaded)
    monkeypatch.setattr(packed, "ROOM", 4 * max(len(text) for _, text in every.inside))

    found = packed.pack(loaded)

    inside = {number for number, _ in found.inside}
    first = {name: loaded.of(name)[0].run for name in loaded.variants}
    assert set(first.values()) <= inside
    beside = results.run_folder(folder, found.beside[0]) / "ladder.js"
    assert beside.read_text().startswith(f'mip6labLadder({found.beside[0]}, "')


def test_what_is_nested_without_end_stops_no_ladder():
    avp = b""
    for _ in range(3000):
        length = 8 + len(avp)
        avp = struct.pack("!IB", 279, 0) + length.to_bytes(3) + avp
    message = b"\1" + (20 + len(avp)).to_bytes(3) + b"\x80\0\1\1" + bytes(12) + avp
    segments = [message[i : i + 1400] for i in range(0, len(message), 1400)]
    frames = [
        Flight("core", "B", "C", n, n, True, tcp(3868, 1 + 1400 * n, data))
        for n, data in enumerate(segments)
    ]

    told = list(read(frames, Path("none")))

    assert len(told) == len(frames)
    assert {one.protocol for one in told} <= {"Diameter", "other"}


def certificate_of_version(version):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mn")])
    begin = datetime(2020, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 5, begin, begin.replace(2030))
    der = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
    tag = bytes.fromhex("a0030201")
    assert der.count(tag) == 1
    return der.replace(tag + b"\2", tag + bytes([version]))


def test_a_certificate_of_no_known_version_stops_no_ladder():
    der = certificate_of_version(9)
    with pytest.raises(x509.InvalidVersion):
        x509.load_der_x509_certificate(der)
    payload = struct.pack("!HHB", 0, 5 + len(der), 4) + der
    header = struct.pack(
        "!8s8sBBBBII", b"initiate", bytes(8), 37, 0x20, 34, 8, 0, 28 + len(payload)
    )
    packet = IPv6(src="2001:db8::1", dst="2001:db8::2") / UDP(sport=500, dport=500)
    frame = bytes(Ether() / packet / Raw(header + payload))
    [ike] = read([Flight("access", "A", "B", 1, 1, True, frame)], Path("none"))
    assert (ike.protocol, ike.label) == ("IKEv2", "IKE_SA_INIT")
    assert any("Initiator's SPI" in line for line in ike.fields)

    certificates = struct.pack("!I", len(der))[1:] + der
    certificates = struct.pack("!I", len(certificates))[1:] + certificates
    message = b"\x0b" + struct.pack("!I", len(certificates))[1:] + certificates
    alert = bytes((21, 3, 3, 0, 2, 2, 48))
    record = bytes((22, 3, 3)) + struct.pack("!H", len(message)) + message
    told = list(Session({}).feed(record + alert, from_client=False))
    assert [one.lines[0].split()[1] for one in told] == ["Certificate:", "alert:"]


@pytest.mark.parametrize("frame", [b"\x88\x8e\2\1\0\0", b"\x08\x06" + bytes(28)])
def test_frames_without_fields_are_about_their_mobile_node(frame):
    told = list(read([Flight("access", "mn01", "B", 1, 1, True, bytes(12) + frame)], Path("none")))
    assert not told[0].fields
    builder = _Builder.__new__(_Builder)
    builder.nodes = {"mn01": 0}
    assert builder._about(told) == ["mn01"]


def tcp(port, sequence, data):
    packet = IPv6(src="2001:db8::1", dst="2001:db8::2") / TCP(
        sport=5000, dport=port, seq=sequence, flags="A"
    )
    return bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / packet / Raw(data))
