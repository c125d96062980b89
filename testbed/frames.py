"""Reads packets with their times from a pcapng file (draft-ietf-opsawg-pcapng)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from testbed.jsonl import DataError

ETHERNET = 1
INTERFACE = 1
ENHANCED_PACKET = 6
OPTION_END = 0
OPTION_TSRESOL = 9
BLOCK_LIMIT = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Frame:
    """One captured Ethernet frame; `time` is wall-clock time in nanoseconds."""

    time: int
    data: bytes


def read_frames(path: Path) -> list[Frame]:
    """Return the frames of a pcapng file in the order of their times.

    Raises DataError if the file is missing, empty, cut short or something else.
    """
    try:
        with path.open("rb") as file:
            frames = list(_frames(file))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    except _BadBlockError as error:
        raise DataError(f"{path}: {error}") from None
    return sorted(frames, key=lambda frame: frame.time)


class _BadBlockError(Exception):
    pass


def _frames(file: BinaryIO) -> Iterator[Frame]:
    start = file.read(12)
    if not start:
        raise _BadBlockError("an empty file, not a capture")
    endian = _endian(start)
    file.seek(0)
    resolutions: list[int] = []  # Ticks a second of each interface of this section.
    while True:
        offset = file.tell()
        head = file.read(12)
        if not head:
            return
        if len(head) < 12:
            raise _BadBlockError(f"cut short in the block at offset {offset}")
        if head[:4] == b"\x0a\x0d\x0d\x0a":
            endian = _endian(head)
            resolutions = []
        kind, length = struct.unpack(endian + "II", head[:8])
        if length < 12 or length % 4 or length > BLOCK_LIMIT:
            raise _BadBlockError(f"the block at offset {offset} says it has {length} octets")
        rest = head[8:] + file.read(length - 12)
        if len(rest) < length - 8:
            raise _BadBlockError(f"cut short in the block at offset {offset}")
        if rest[-4:] != head[4:8]:
            raise _BadBlockError(f"the two lengths of the block at offset {offset} differ")
        body = rest[:-4]
        try:
            if kind == INTERFACE:
                resolutions.append(_resolution(endian, body))
            elif kind == ENHANCED_PACKET:
                yield _frame(endian, body, resolutions)
        except (struct.error, IndexError):
            raise _BadBlockError(f"a malformed block at offset {offset}") from None


def _endian(head: bytes) -> str:
    for endian in "<>":
        if head[:4] == b"\x0a\x0d\x0d\x0a" and head[8:12] == struct.pack(endian + "I", 0x1A2B3C4D):
            return endian
    raise _BadBlockError("not a pcapng capture")


def _resolution(endian: str, body: bytes) -> int:
    link_type = struct.unpack_from(endian + "H", body)[0]
    if link_type != ETHERNET:
        raise _BadBlockError(f"link type {link_type}, not Ethernet")
    offset = 8
    while offset + 4 <= len(body):
        code, length = struct.unpack_from(endian + "HH", body, offset)
        if code == OPTION_END:
            break
        if code == OPTION_TSRESOL:
            value = body[offset + 4]
            return int(2 ** (value & 0x7F) if value & 0x80 else 10 ** (value & 0x7F))
        offset += 4 + length + -length % 4
    return 10**6


def _frame(endian: str, body: bytes, resolutions: list[int]) -> Frame:
    interface, high, low, captured, _ = struct.unpack_from(endian + "5I", body)
    data = body[20 : 20 + captured]
    if len(data) < captured:
        raise struct.error
    ticks = high << 32 | low
    return Frame(ticks * 10**9 // resolutions[interface], data)
