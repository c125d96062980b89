"""What is read from files, pipes and captures."""

from __future__ import annotations

import asyncio
import io
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address
from pathlib import Path
from unittest import mock

from agents.aaa.subscribers import SubscribersError
from agents.aaa.subscribers import parse as parse_subscribers
from agents.core.configuration import ConfigurationError, load
from agents.core.documents import DocumentError
from agents.core.eventlog import EventLog
from agents.nodes.access_router.settings import AccessRouterConfiguration
from agents.nodes.mobile_node.settings import MobileNodeConfiguration
from testbed.base.jsonl import DataError
from testbed.experiment.spec import Spec, SpecError
from testbed.results import folder as results
from testbed.run.events import Events
from testbed.trace import floods, phases
from testbed.trace.counts import repeated
from testbed.trace.dissect import recognise
from testbed.trace.fleet import Frames
from testbed.trace.frames import Frame, read_frames
from testbed.trace.keys import wireshark_profile
from testbed.trace.streams import Streams
from tests.bad_bytes import layouts
from tests.bad_bytes.target import Target

FOLDER = tempfile.TemporaryDirectory()
LAST = b'{"t": 7, "host": "A", "agent": "", "event": "Last"}\n'
ROOT = Path(__file__).parents[2]


def _at(name: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    path = Path(FOLDER.name) / name

    def take(data: bytes) -> object:
        path.write_bytes(data)
        return read(path)

    return take


def captures() -> Target:
    from tests.testbed import synthesis as syn

    def read(path):
        frames = read_frames(path)
        streams = Streams()
        for _, packet, _ in recognise(frames):
            if packet:
                streams.segment(packet)
        repeated(Frames(bytes(6), frames, frames))
        phases.reached_in(frames, path)
        phases.from_frames(frames, path)

    seeds = []
    for packets in (syn.bootstrap(), syn.pana12_exchange(), []):
        path = syn.write(Path(FOLDER.name) / "seed.pcapng", packets)
        seeds.append(path.read_bytes())
    return Target(_at("it.pcapng", read), seeds, (DataError,), (layouts.BLOCKS,))


def frames() -> Target:
    """One packet after another, as a capture has them."""
    from tests.testbed import synthesis as syn

    streams = Streams()

    def take(data):
        seen = [Frame(0, bytes(12) + b"\x86\xdd" + data), Frame(1, data)]
        for _, packet, _ in recognise(seen):
            if packet:
                streams.segment(packet)

    packets = [*syn.bootstrap(), *syn.pana12_exchange(), *_diameter()]
    packets.append((0.0, syn.from_mn(syn.relayed(syn.pana(1, 0, 0)))))

    def fix(data):  # The length of IPv6, and a checksum that is right.
        data = data[:4] + ((len(data) - 40) & 0xFFFF).to_bytes(2) + data[6:]
        at = {17: 46, 6: 56, 58: 42, 135: 44}.get(data[6] if len(data) > 6 else 0)
        if at is None or len(data) < at + 2:
            return data
        body = data[40:at] + bytes(2) + data[at + 2 :]
        number = int.from_bytes(
            data[8:40]
            + len(body).to_bytes(4)
            + bytes((0, 0, 0, data[6]))
            + body
            + bytes(len(body) % 2)
        )
        total = (number % 0xFFFF or 0xFFFF) ^ 0xFFFF
        return data[:at] + total.to_bytes(2) + data[at + 2 :]

    return Target(take, [bytes(packet) for _, packet in packets], fix=fix)


def _diameter() -> Iterator[tuple[float, bytes]]:
    from scapy.layers.inet import TCP
    from scapy.layers.inet6 import IPv6

    from tests.diameter.samples import ANSWER, REQUEST

    for message in (REQUEST, ANSWER):
        data = message.to_message().encode()
        yield 0.0, bytes(IPv6(src="2001:db8::1", dst="2001:db8::2") / TCP(dport=3868) / data)


def events() -> Target:
    """Lines of events: while a run goes on, and afterwards from their file."""
    from tests.testbed import synthesis as syn

    folder = Path(FOLDER.name)

    def read(path):
        data = path.read_bytes()
        collecting = Events(folder / "kept.jsonl")
        collecting.collect()
        os.write(collecting.writer, data + b"\n" + LAST)
        while (event := collecting.next(time.monotonic() + 5.0)) is not None:
            if event["host"] + event["agent"] + event["event"] == "ALast":
                break
        else:
            raise AssertionError("no event comes any more")
        collecting.close()
        floods.from_events(path)
        phases.from_events_of_all(path, ["A", "B"])
        phases.from_events(path, "A")

    path = syn.write_events(folder / "seed.jsonl")
    seeds = [path.read_bytes(), b'{"event":"Flooded","sent":7}\n', b"5\n", b"[[[[\n", b"{}\n"]
    return Target(_at("events.jsonl", read), seeds, (DataError,))


def outcomes() -> Target:
    """A results folder, each of whose files may be anything."""
    import shutil

    from tests.testbed import sample

    root = Path(FOLDER.name) / "results"
    shutil.rmtree(root, ignore_errors=True)
    folder = sample.make(root, runs=1, captures=False)
    names = ("runs.jsonl", "plan.json", "manifest.json", "spec.toml")
    good = {name: (folder / name).read_bytes() for name in names if (folder / name).exists()}
    good.setdefault("plan.json", b'{"runs":[{"run":1,"variant":"script","seed":7}]}')

    def take(data):
        if not data:
            return
        name = names[data[0] % len(names)]
        (folder / name).write_bytes(data[1:])
        try:
            results.load(folder)
            results.missing_runs(folder)
        finally:
            (folder / name).write_bytes(good[name])

    seeds = [bytes([number]) + good[name] for number, name in enumerate(names)]
    return Target(take, seeds, (DataError,))


def keys() -> Target:
    lines = (
        b'{"kind":"esp","source":"2001:db8::1","destination":"2001:db8::2","spi":7,'
        b'"encryption":"cbc(aes)","encryption_key":"00","integrity":"hmac(sha1)",'
        b'"integrity_key":"00"}\n',
        b'{"kind":"ikev1","initiator_cookie":"0011223344556677","encryption_key":"00"}\n',
    )
    folder = Path(FOLDER.name) / "keys"
    folder.mkdir(exist_ok=True)
    return Target(
        _at("keys/keys.jsonl", lambda path: wireshark_profile(path.parent)), lines, (DataError,)
    )


def experiments() -> Target:
    small = [p for p in (ROOT / "experiments").glob("*.toml") if p.stat().st_size < 3000]
    return Target(
        _at("it.toml", lambda path: Spec.load(path, every_point=False)),
        [path.read_bytes() for path in sorted(small)],
        (SpecError,),
        longest=2.0,  # Every approach that is named is imported, and every topology built.
    )


def configurations() -> Target:
    """What programs are configured with, in JSON and in TOML, and the list of subscribers."""
    from tests.aaa.test_home_aaa import FILE

    ways: tuple[Callable[[bytes], object], ...] = (
        _at("it.json", lambda path: load(path, MobileNodeConfiguration)),
        _at("it.toml", lambda path: load(path, AccessRouterConfiguration)),
        lambda data: parse_subscribers(data.decode(errors="replace")),
    )

    def take(data):
        return ways[data[0] % len(ways)](data[1:]) if data else None

    seeds = [b'\0{"host":"A","interface":"eth0"}', b'\1host = "B"\n', b"\2" + FILE.encode()]
    return Target(take, seeds, (ConfigurationError, DocumentError, SubscribersError))


def commands() -> Target:
    """Lines on a program's standard input."""
    from agents.shell import program

    def begin(host: str, at: str) -> bool:
        return bool(host) and float(at) > 0

    known = {
        "ping": lambda: True,
        "move": lambda address: IPv6Address(address).is_global,
        "drain": {"ha1": True}.__getitem__,
        "begin": begin,
    }

    def take(data):
        told = io.StringIO()
        loop, readers = _Loop(), []
        with _standard_input(data) as descriptor, _running(loop, descriptor):
            program.take_commands(known, EventLog("A", "role", told))
            readers = loop.readers
            for _ in range(len(data) // 4096 + 2):
                for call in list(readers):
                    call()

    seeds = [b"ping\nmove 2001:db8::1\ndrain ha1\nbegin A 7.5\n", b"ping 1 2\nwhat\n", b"begin A"]
    return Target(take, seeds)


class _Loop:
    def __init__(self) -> None:
        self.readers: list[Callable[[], None]] = []

    def itself(self) -> _Loop:
        return self

    def add_reader(self, _descriptor: int, call: Callable[[], None]) -> None:
        self.readers.append(call)

    def remove_reader(self, _descriptor: int) -> None:
        self.readers.clear()


class _Input:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor


@contextmanager
def _standard_input(data: bytes) -> Iterator[int]:
    reader, writer = os.pipe()
    os.write(writer, data)
    os.close(writer)
    try:
        yield reader
    finally:
        os.close(reader)


@contextmanager
def _running(loop: _Loop, descriptor: int) -> Iterator[None]:
    with (
        mock.patch.object(asyncio, "get_running_loop", loop.itself),
        mock.patch.object(sys, "stdin", _Input(descriptor)),
    ):
        yield


ALL: dict[str, Callable[[], Target]] = {
    "captures": captures,
    "frames": frames,
    "events": events,
    "results": outcomes,
    "keys": keys,
    "experiments": experiments,
    "configurations": configurations,
    "commands": commands,
}
