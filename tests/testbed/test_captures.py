"""Files that are captures, of several kinds, and files that are none."""

import shutil
import subprocess
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.base.jsonl import DataError
from testbed.trace.dissect import dissect
from testbed.trace.frames import Frame, read_frames
from testbed.trace.phases import from_capture
from tests.testbed import synthesis as syn


@pytest.fixture
def capture(tmp_path):
    return lambda packets: syn.write(tmp_path / "A.pcapng", packets)


def test_a_capture_of_dumpcaps_kind_reads_the_same(tmp_path, capture):
    if not shutil.which("editcap"):
        pytest.skip("editcap is not installed")
    path, other = capture(syn.bootstrap()), tmp_path / "comment.pcapng"
    subprocess.run(
        ["editcap", "--capture-comment", "rewritten by Wireshark", path, other], check=True
    )

    assert read_frames(other) == read_frames(path)
    assert read_frames(path)[0].time == 1_699_999_999_750_000_000


def test_nanoseconds_and_the_other_byte_order(tmp_path):
    def block(kind, body):
        length = (12 + len(body)).to_bytes(4, "big")
        return kind.to_bytes(4, "big") + length + body + length

    section = bytes.fromhex("1a2b3c4d 0001 0000 ffffffffffffffff")
    interface = bytes.fromhex("0001 0000 00040000 0009 0001 09000000 0000 0000")
    packet = bytes.fromhex("00000000 00000001 00000002 00000003 00000003 61626300")
    path = tmp_path / "big.pcapng"
    path.write_bytes(block(0x0A0D0D0A, section) + block(1, interface) + block(6, packet))

    assert read_frames(path) == [Frame((1 << 32) + 2, b"abc")]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "empty file"),
        (b"\xd4\xc3\xb2\xa1" + bytes(40), "not a pcapng"),
        (b"garbage", "not a pcapng"),
    ],
)
def test_files_that_are_no_capture(tmp_path, content, complaint):
    path = tmp_path / "A.pcapng"
    path.write_bytes(content)

    with pytest.raises(DataError, match=complaint):
        from_capture(path)


def test_a_missing_file(tmp_path):
    with pytest.raises(DataError, match="No such file"):
        from_capture(tmp_path / "none.pcapng")


def test_every_truncation_of_a_capture_is_an_error(tmp_path, capture):
    whole = capture(syn.bootstrap(packet=None)).read_bytes()
    path = tmp_path / "cut.pcapng"
    for end in range(0, len(whole), 37):
        path.write_bytes(whole[:end])
        with pytest.raises(DataError, match=r"cut\.pcapng"):
            from_capture(path)


def seen(data):
    """Return the messages in a PANA datagram as captured."""
    return list(dissect([Frame(0, bytes(12) + b"\x86\xdd" + bytes(syn.from_mn(data)))]))


def test_what_a_pana_relay_carries_is_told_as_itself():
    message = syn.pana(2, syn.R | syn.C, 105, syn.avp(7, bytes(4)))
    [plain], [relayed] = seen(message), seen(syn.relayed(message))
    assert relayed == replace(plain, label=f"PRY {plain.label}")
    assert seen(syn.relayed(syn.relayed(message))) == []
    assert seen(syn.pana(5, 0, 0)) == []


def test_every_truncation_and_flip_of_each_packet_is_survived():
    relayed = [(0.0, syn.from_mn(syn.relayed(syn.pana(1, 0, 0))))]
    for _, packet in syn.bootstrap() + syn.pana12_exchange() + relayed:
        data = bytes(12) + b"\x86\xdd" + bytes(packet)
        for i in range(len(data)):
            list(dissect([Frame(0, data[:i])]))
            list(dissect([Frame(0, data[:i] + bytes([data[i] ^ 0xFF]) + data[i + 1 :])]))


@settings(max_examples=100)
@given(st.binary(max_size=300))
def test_random_bytes_are_no_capture(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "random.pcapng"
    path.write_bytes(data)
    with pytest.raises(DataError):
        from_capture(path)


@pytest.mark.parametrize("bit", [0, 7, 100, 399])
def test_a_message_with_a_wrong_checksum_is_none(capture, bit):
    frames = read_frames(capture(syn.bootstrap()))
    [first, *_] = dissect(frames)
    at = next(i for i, frame in enumerate(frames) if frame.time == first.time)
    data = bytearray(frames[at].data)
    place = 14 + 8 + bit // 8 % (len(data) - 22)  # Behind what no checksum covers.
    data[place] ^= 1 << bit % 8
    frames[at] = replace(frames[at], data=bytes(data))
    assert first not in list(dissect(frames))
