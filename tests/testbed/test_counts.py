"""Round trips, messages and octets from captures whose exchanges are known."""

from ipaddress import IPv6Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from testbed.base.jsonl import DataError
from testbed.trace import counts, phases
from testbed.trace.counts import beyond, near_ends
from testbed.trace.critical import DIAMETER, RADIUS, RESOLUTION, Crossing, critical_path
from testbed.trace.dissect import Packet, dissect
from testbed.trace.frames import Frame
from testbed.trace.streams import Streams
from tests.testbed import crossings as cross
from tests.testbed import synthesis as syn
from topologies.dhcpv6 import TOPOLOGY as WITH_SERVER
from topologies.paper import TOPOLOGY
from topologies.relayed import TOPOLOGY as RELAYED


@pytest.fixture
def wire():
    return cross.Wire(access=0.02, core=0.03)


def counted(wire, folder):
    captures = wire.write(folder / "captures")
    timeline = phases.from_capture(captures / "A.pcapng")
    return counts.count(captures, TOPOLOGY, timeline), timeline


def trips(traffic):
    return {name: link.round_trips for name, link in traffic.links.items()}


def test_round_trips_are_those_of_the_exchanges(tmp_path, wire):
    cross.bootstrap(wire, rounds=3)

    traffic, timeline = counted(wire, tmp_path)

    # PANA: PCI and one per round with the AAAH; IKE: three and one; Mobile IPv6: one.
    assert trips(traffic) == {"access": 4 + 4 + 1, "core": 3 + 4 + 1}
    crossing = 2 * (9 * 0.02 + 8 * 0.03)
    assert timeline.phases["total"] == pytest.approx(crossing, abs=0.05)


def test_messages_and_octets_of_each_protocol(tmp_path, wire):
    cross.bootstrap(wire, rounds=3)

    traffic, _ = counted(wire, tmp_path)

    access, core = traffic.links["access"].protocols, traffic.links["core"].protocols
    assert {name: one.messages for name, one in access.items()} == {
        "PANA": 9,
        "IKEv1": 9,
        "MIPv6": 2,
    }
    assert {name: one.messages for name, one in core.items()} == {
        "Diameter": 6,
        "TCP": 3,
        "IKEv1": 9,
        "MIPv6": 2,
    }
    assert access["IKEv1"].octets == core["IKEv1"].octets == 9 * (14 + 40 + 8 + 28 + 48)
    assert access["PANA"].repeated == 0


def test_who_chose_the_home_agent(tmp_path, wire):
    cross.bootstrap(wire)

    traffic, _ = counted(wire, tmp_path)

    assert (traffic.home_agents, traffic.home_agent) == ([syn.HA], syn.HA)


def test_radius_carries_pana_on_as_diameter_does(tmp_path, wire):
    cross.by_radius(wire)

    traffic, _ = counted(wire, tmp_path)

    assert trips(traffic) == {"access": 3 + 4 + 1, "core": 2 + 4 + 1}
    core = traffic.links["core"].protocols
    assert {name: one.messages for name, one in core.items()} == {
        "RADIUS": 6,
        "IKEv1": 9,
        "MIPv6": 2,
    }
    assert traffic.home_agents == [syn.HA]


def test_a_radius_request_that_is_sent_again_is_no_round_trip(tmp_path, wire):
    cross.by_radius(wire, again=True)

    traffic, _ = counted(wire, tmp_path)

    assert trips(traffic)["core"] == 2 + 4 + 1
    assert traffic.links["core"].protocols["RADIUS"].repeated == 2


def test_radius_messages_are_told_by_what_they_carry():
    eap = cross.attribute(79, bytes((2, 1, 0, 5, 1)))
    sent = [
        cross.radius(1, 1, eap),
        cross.radius(2, 1, cross.vendor_home_agent()),
        cross.radius(4, 1),
        cross.radius(99, 1),
        cross.radius(1, 1, b"\x4f\x01"),
        cross.radius(1, 1)[:-1],
    ]
    head = IPv6(src=cross.B_CORE, dst=cross.C_CORE) / UDP(sport=40000, dport=1812)
    frames = [Frame(0, bytes(Ether() / head / data)) for data in sent]

    seen = list(dissect(frames))

    assert [one.label for one in seen] == [
        "Access-Request Identity",
        "Access-Accept",
        "Accounting-Request",
    ]
    assert seen[1].home_agents == (IPv6Address(syn.HA),)


def test_what_is_sent_again_is_no_round_trip(tmp_path, wire):
    cross.bootstrap(wire)
    frames = wire.frames["A"]
    frames += [(time + 0.0001, frame.copy()) for time, frame in frames]
    plain = cross.Wire(access=0.02, core=0.03)
    cross.bootstrap(plain)
    expected, _ = counted(plain, tmp_path / "plain")

    traffic, _ = counted(wire, tmp_path / "again")

    assert trips(traffic) == trips(expected)
    protocols = traffic.links["access"].protocols
    # What came twice was sent once: B's capture tells.
    assert (protocols["PANA"].messages, protocols["PANA"].repeated) == (18, 5)
    assert (protocols["IKEv1"].messages, protocols["IKEv1"].repeated) == (18, 5)


def test_what_was_lost_when_it_was_sent_first_is_sent_again_all_the_same(tmp_path, wire):
    cross.bootstrap(wire)
    frames = wire.frames["B"]
    frames += [(time - 0.001, frame.copy()) for time, frame in frames]

    traffic, _ = counted(wire, tmp_path)

    protocols = traffic.links["access"].protocols
    assert (protocols["PANA"].messages, protocols["PANA"].repeated) == (9, 4)


def test_a_binding_update_with_another_number_is_one_sent_again(tmp_path, wire):
    cross.bootstrap(wire)
    again = wire.now - 0.05
    wire.frames["A"].append((again, wire.frames["A"][-2][1].copy()))

    traffic, _ = counted(wire, tmp_path)

    assert traffic.links["access"].protocols["MIPv6"].repeated == 1
    assert traffic.links["access"].round_trips == 9


def test_address_resolution_that_holds_an_answer_up_is_a_round_trip(tmp_path, wire):
    wire.pana(syn.pana(1, 0, 0), syn.pana(2, syn.R | syn.S, 100))
    ok = syn.avp(7, bytes(4))
    wire.pana(syn.pana(2, syn.S, 100), syn.pana(2, syn.R | syn.C, 101, ok))
    wire.cross("access", syn.from_mn(syn.pana(2, syn.C, 101)))
    wire.now -= 0.02
    wire.cross("access", syn.from_mn(syn.ike(34, 1, version=0x20), 500))
    wire.resolve()
    wire.cross("access", syn.to_mn(syn.ike(34, 2, version=0x20), 500), outward=False)
    wire.end_to_end(
        syn.from_mn(syn.ike(35, 1, 1, 0x20), 500), syn.to_mn(syn.ike(35, 2, 1, 0x20), 500)
    )
    wire.end_to_end(syn.update(), syn.ack())

    traffic, timeline = counted(wire, tmp_path)

    # PANA 2, IKE_SA_INIT 2 because of the resolution, IKE_AUTH 1, BU 1.
    assert trips(traffic)["access"] == 6
    assert timeline.phases["total"] == pytest.approx(2 * (6 * 0.02 + 2 * 0.03), abs=0.02)


def crossing(time, what, **more):
    """ ">PANA" or "<IKEv2"; "<PANA[C]" is the result, "<PANA[S]" has Sealed-Assignment."""
    protocol, _, mark = what[1:].partition("[")
    more |= {"final": mark == "C]", "early": mark == "S]"}
    return Crossing(time, what[0] == ">", protocol, 100, step=True, **more)


def path(text):
    seen = [crossing(i, what) for i, what in enumerate(text.split())]
    return len(critical_path({"access": seen}, {"": ["access"]})["access"])


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ("", 0),
        (">MIPv6", 0),
        ("<MIPv6", 0),
        (">MIPv6 <MIPv6", 1),
        (">IKEv2 <IKEv2 >IKEv2 <IKEv2 >MIPv6 <MIPv6", 3),
        # Quick mode's last message and the Binding Update leave together.
        (">IKEv1 <IKEv1 >IKEv1 >MIPv6 <MIPv6", 2),
        # The Binding Update right behind IKE_AUTH's request saves a round trip.
        (">IKEv2 <IKEv2 >IKEv2 >MIPv6 <IKEv2 <MIPv6", 2),
        # IKE_SA_INIT waits for PANA's result.
        (">PANA <PANA >PANA <PANA[C] >PANA >IKEv2 <IKEv2 >MIPv6 <MIPv6", 4),
        # IKE begins with what the second answer tells; PANA's end costs none, whenever it comes.
        (">PANA <PANA[S] >PANA >IKEv2 <PANA[C] <IKEv2 >IKEv2 <IKEv2 >MIPv6 <MIPv6", 4),
        (">PANA <PANA[S] >PANA >IKEv2 <IKEv2 >IKEv2 <PANA[C] <IKEv2 >MIPv6 <MIPv6", 4),
        (">PANA <PANA[S] >PANA <PANA[C] >IKEv2 <IKEv2 >IKEv2 <IKEv2 >MIPv6 <MIPv6", 4),
        # The Binding Update waits for PANA's end if that is last.
        (">PANA <PANA[S] >PANA >IKEv2 <IKEv2 >IKEv2 <IKEv2 <PANA[C] >MIPv6 <MIPv6", 3),
        # An answer in PANA that says nothing to IKE did not start it.
        (">IKEv2 <IKEv2 >PANA <PANA >IKEv2 <IKEv2 >MIPv6 <MIPv6", 3),
        (">PANA <PANA >IKEv2 <IKEv2 >MIPv6 <MIPv6", 2),
        # Information-request behind PANA; DNS with two questions at once.
        (">PANA <PANA[C] >DHCPv6 <DHCPv6 >IKEv2 <IKEv2 >MIPv6 <MIPv6", 4),
        (">DNS >DNS <DNS <DNS >IKEv2 <IKEv2 >MIPv6 <MIPv6", 3),
    ],
)
def test_the_critical_path(seen, expected):
    assert path(seen) == expected


@settings(max_examples=50)
@given(st.lists(st.sampled_from([">", "<"]), max_size=30), st.data())
def test_any_order_of_messages_has_a_count(directions, data):
    names = ["PANA", "PANA[C]", "PANA[S]", "IKEv2", "MIPv6", "DHCPv6", RESOLUTION]
    seen = {"access": [], "core": []}
    for i, way in enumerate(directions):
        what = way + data.draw(st.sampled_from([*names, DIAMETER, RADIUS]))
        link = data.draw(st.sampled_from(["access", "core"]))
        seen[link].append(crossing(i, what, solicits=data.draw(st.booleans())))

    found = critical_path(seen, {"": ["access"], "access": ["core"], "core": []})

    assert all(len(found[link]) <= len(seen[link]) / 2 for link in seen)


@pytest.mark.parametrize("late", [0.0, 0.03, 0.3])
def test_the_counts_of_all_links_belong_to_one_path(tmp_path, wire, late):
    """IKE begins with EAP's last round; its end may come before or after IKE's, or last of all."""
    cross.early_bootstrap(wire, late)

    traffic, timeline = counted(wire, tmp_path)

    # PCI, two rounds until IKE begins, IKE 2, BU 1; or PCI, all three rounds, BU 1.
    assert trips(traffic) == ({"access": 5, "core": 4} if late == 0.3 else {"access": 6, "core": 5})
    found = trips(traffic)
    waits = late if late == 0.3 else 0.0
    crossing = 2 * (found["access"] * 0.02 + found["core"] * 0.03) + waits
    assert timeline.phases["total"] == pytest.approx(crossing, abs=0.03)


@settings(max_examples=12)
@given(st.integers(1, 6), st.floats(0.001, 0.1), st.floats(0.001, 0.1))
def test_counts_do_not_depend_on_delays(tmp_path_factory, rounds, access, core):
    wire = cross.Wire(access, core)
    cross.bootstrap(wire, rounds)

    traffic, _ = counted(wire, tmp_path_factory.mktemp("run"))

    assert trips(traffic) == {"access": rounds + 6, "core": rounds + 5}


def test_links_are_read_at_the_end_nearer_to_the_mobile_node():
    assert near_ends(TOPOLOGY) == {"access": "A", "core": "B", "home": "C"}
    assert near_ends(WITH_SERVER) == {"access": "A", "core": "B", "home": "C", "service": "B"}
    behind = {"": ["access"], "access": ["core", "service"], "core": ["home"]}
    assert beyond(WITH_SERVER) == behind | {"home": [], "service": []}
    assert near_ends(RELAYED) == {"access": "A", "backhaul": "R", "core": "B", "home": "C"}
    assert beyond(RELAYED)["access"] == ["backhaul"]
    assert beyond(RELAYED)["backhaul"] == ["core"]


def test_a_link_without_a_capture_is_left_out_and_a_bad_capture_is_named(tmp_path, wire):
    cross.bootstrap(wire)
    captures = wire.write(tmp_path)
    timeline = phases.from_capture(captures / "A.pcapng")
    (captures / "B.pcapng").unlink()
    assert list(counts.count(captures, TOPOLOGY, timeline).links) == ["access"]

    (captures / "B.pcapng").write_bytes(b"garbage")
    with pytest.raises(DataError, match=r"B\.pcapng"):
        counts.count(captures, TOPOLOGY, timeline)


class Stream:
    """One direction of a Diameter connection, as packets."""

    def __init__(self):
        self.streams, self.next = Streams(), 0xFFFFFF00

    def send(self, data, back=0):
        head = self.next - back
        payload = (40000).to_bytes(2) + (3868).to_bytes(2) + (head & 0xFFFFFFFF).to_bytes(4)
        payload += bytes(4) + b"\x50\x18" + bytes(6) + data
        self.next = max(self.next, head + len(data))
        ends = (IPv6Address("::1"), IPv6Address("::2"))
        return self.streams.segment(Packet(0, *ends, 6, payload, None, None))


def test_diameter_messages_are_counted_whole_however_they_are_cut():
    request = cross.diameter(cross.EAP, cross.avp(462, bytes(700)))
    stream = Stream()

    first = stream.send(request[:300])
    assert (first.counts, first.matters) == (0, True)
    again = stream.send(request[:300], back=300)
    assert (again.counts, again.again, again.matters) == (0, True, False)
    second = stream.send(request[300:] + request)  # The sequence number wraps around.
    assert (second.counts, second.matters, second.messages[0]) == (2, True, (cross.EAP, True))


def test_watchdogs_are_no_part_of_a_bootstrap():
    assert not Stream().send(cross.diameter(280)).matters
    accounting = Stream().send(cross.diameter(271))
    assert (accounting.counts, accounting.matters) == (1, False)  # It is there, but not waited for.
    assert not Stream().send(b"").matters
    assert Stream().send(cross.diameter(280) + cross.diameter(cross.EAP)).matters


def test_diameter_under_tls_counts_by_segment():
    stream = Stream()

    for _ in range(2):
        segment = stream.send(b"\x17\x03\x03\x00\x10" + bytes(16))
        assert (segment.counts, segment.opaque, segment.matters) == (1, True, True)


@settings(max_examples=200)
@given(st.lists(st.binary(max_size=80), max_size=6))
def test_random_segments_are_survived(datas):
    stream = Stream()
    for data in datas:
        stream.send(data)
        stream.send(cross.diameter(cross.EAP, data, request=False))
