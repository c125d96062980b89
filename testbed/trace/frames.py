"""Reads packets with their times from a pcapng file (draft-ietf-opsawg-pcapng)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from testbed.base.files import open_file
from testbed.base.jsonl import DataError

ETHERNET = 1
SECTION, INTERFACE, ENHANCED_PACKET = 0x0A0D0D0A, 1, 6
SECTION_MAGIC = b"\x0a\x0d\x0d\x0a"
OPTION_END = 0
OPTION_TSRESOL = 9
BLOCK_LIMIT = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Frame:
    """One captured Ethernet frame; `time` is wall-clock time in nanoseconds."""

    time: int
    data: bytes

    @property
    def destination(self) -> bytes:
        """The MAC address that it goes to."""
        return self.data[:6]

    @property
    def source(self) -> bytes:
        """The MAC address that it comes from."""
        return self.data[6:12]


def read_frames(path: Path) -> list[Frame]:
    """Return the frames of a pcapng file in the order of their times.

    Raises DataError if the file is missing, empty, cut short or something else.
    """
    frames: list[Frame] = []
    resolutions: list[int] = []  # Ticks per second of each interface of this section.
    for block in _read(path):
        try:
            if block.kind == SECTION:
                resolutions = []
            elif block.kind == INTERFACE:
                resolutions.append(_resolution(block, path))
            elif block.kind == ENHANCED_PACKET:
                frames.append(_frame(block, resolutions))
        except (struct.error, IndexError):
            raise DataError(f"{path}: a malformed block at offset {block.offset}") from None
    return sorted(frames, key=lambda frame: frame.time)


@dataclass(frozen=True, slots=True)
class _Block:
    offset: int
    kind: int
    endian: str
    body: bytes


class _BadBlockError(Exception):
    pass


def _read(path: Path) -> Iterator[_Block]:
    try:
        with open_file(path) as file:
            yield from _blocks(file)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    except _BadBlockError as error:
        raise DataError(f"{path}: {error}") from None


def _blocks(file: BinaryIO) -> Iterator[_Block]:
    endian = ""
    while True:
        offset = file.tell()
        head = file.read(12)
        if not head:
            if not offset:
                raise _BadBlockError("an empty file, not a capture")
            return
        if head[:4] == SECTION_MAGIC or not offset:
            endian = _endian(head)
        if len(head) < 12:
            raise _BadBlockError(f"cut short in the block at offset {offset}")
        kind, length = struct.unpack(endian + "II", head[:8])
        if length < 12 or length % 4 or length > BLOCK_LIMIT:
            raise _BadBlockError(f"the block at offset {offset} says it has {length} octets")
        rest = head[8:] + file.read(length - 12)
        if len(rest) < length - 8:
            raise _BadBlockError(f"cut short in the block at offset {offset}")
        if rest[-4:] != head[4:8]:
            raise _BadBlockError(f"the two lengths of the block at offset {offset} differ")
        yield _Block(offset, kind, endian, rest[:-4])


def _endian(head: bytes) -> str:
    for endian in "<>":
        if head[:4] == SECTION_MAGIC and head[8:12] == struct.pack(endian + "I", 0x1A2B3C4D):
            return endian
    raise _BadBlockError("not a pcapng capture")


def _resolution(block: _Block, path: Path) -> int:
    link_type = struct.unpack_from(block.endian + "H", block.body)[0]
    if link_type != ETHERNET:
        raise DataError(f"{path}: link type {link_type}, not Ethernet")
    offset = 8
    while offset + 4 <= len(block.body):
        code, length = struct.unpack_from(block.endian + "HH", block.body, offset)
        if code == OPTION_END:
            break
        if code == OPTION_TSRESOL:
            value = block.body[offset + 4]
            return int(2 ** (value & 0x7F) if value & 0x80 else 10 ** (value & 0x7F))
        offset += 4 + length + -length % 4
    return 10**6


def _frame(block: _Block, resolutions: list[int]) -> Frame:
    interface, high, low, captured, _ = struct.unpack_from(block.endian + "5I", block.body)
    data = block.body[20 : 20 + captured]
    if len(data) < captured:
        raise struct.error
    ticks = high << 32 | low
    return Frame(ticks * 10**9 // resolutions[interface], data)
