"""Captures as written, read back by this project's reader and by Wireshark's."""

import stat

from testbed.trace import pcapng
from testbed.trace.frames import read_frames
from tests.wireshark import rows

FRAME = bytes.fromhex("020000000001 020000000002 86dd") + bytes(41)
SECRET = b"CLIENT_RANDOM " + b"00" * 32 + b" " + b"11" * 48 + b"\n"
PACKETS = [
    pcapng.Packet(1_700_000_000_000_000_001, 0, FRAME),
    pcapng.Packet(1_700_000_000_000_001_002, 1, FRAME + b"x"),
]


def test_what_is_written_is_read_back(tmp_path):
    path = tmp_path / "B.pcapng"

    pcapng.write(path, ["B-access", "B-core"], PACKETS, SECRET)

    assert [(f.time, f.data) for f in read_frames(path)] == [(p.time_ns, p.data) for p in PACKETS]


def test_a_capture_with_secrets_is_the_owners_alone(tmp_path):
    for name, secret, mode in (("plain", b"", 0o644), ("secret", SECRET, 0o600)):
        pcapng.write(tmp_path / name, ["A-access"], PACKETS[:1], secret)
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == mode


def test_wireshark_sees_interfaces_nanoseconds_and_no_fault(tmp_path):
    path = tmp_path / "B.pcapng"
    pcapng.write(path, ["B-access", "B-core"], PACKETS, SECRET)

    assert rows(path, "frame.interface_name", "frame.time_epoch", "frame.len") == [
        "B-access\t1700000000.000000001\t55",
        "B-core\t1700000000.000001002\t56",
    ]
