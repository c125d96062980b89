"""A netlink socket that sends a batch of requests in one call and waits for all of them.

The messages are laid out with `struct` rather than with pyroute2's classes: pyroute2 0.9.7 runs an
event loop of its own inside every synchronous call, which fails inside a running one, it has no
XFRM states and policies, and its import costs 0.13 s (0.4 s in user-mode Linux) in every process
that a launch script starts.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Self

from agents.core.record import Record
from agents.kernel.port import KernelError

ROUTE = 0
XFRM = 6

REQUEST = 0x001
ACK = 0x004
DUMP = 0x300
REPLACE = 0x100
EXCLUSIVE = 0x200
CREATE = 0x400

_NOOP, _ERROR, _DONE = 1, 2, 3
_ERROR_TEXT = 1
_SOL_NETLINK = 270
_ADD_MEMBERSHIP, _CAP_ACK, _EXT_ACK = 1, 10, 11
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_RECEIVE_SIZE = 1 << 17
_PATIENCE = 2.0  # Seconds; the kernel answers before send() returns, so this is never waited for.


def attribute(kind: int, value: bytes) -> bytes:
    """Return one attribute, padded to 4 octets."""
    return _ATTRIBUTE.pack(4 + len(value), kind) + value + bytes(-len(value) % 4)


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the attributes in `data`; a malformed rest is left out."""
    offset = 0
    while offset + 4 <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < 4:
            return
        yield kind & 0x3FFF, data[offset + 4 : offset + length]
        offset += length + -length % 4


@contextmanager
def reading() -> Iterator[None]:
    """Raise KernelError for what the kernel has said if that cannot be read."""
    try:
        yield
    except (struct.error, LookupError, ValueError, OverflowError):
        raise KernelError(errno.EBADMSG, "netlink: an answer that cannot be read") from None


class Request(Record, frozen=True):
    """One message to the kernel; `name` is for error texts, errors in `tolerated` are no errors."""

    name: str
    kind: int
    flags: int
    body: bytes
    tolerated: tuple[int, ...] = ()


class Reply(Record, frozen=True):
    """One message from the kernel."""

    kind: int
    sequence: int
    body: bytes


class NetlinkSocket:
    """A synchronous netlink socket of one family in the network namespace of its making."""

    def __init__(self, family: int, groups: Sequence[int] = ()) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, family
        )
        try:
            self._socket.setblocking(False)
            self._socket.bind((0, 0))
            for option in (_CAP_ACK, _EXT_ACK):
                self._socket.setsockopt(_SOL_NETLINK, option, 1)
            for group in groups:
                self._socket.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
        except BaseException:
            self._socket.close()
            raise
        self._sequence = 0

    def fileno(self) -> int:
        """Return the file descriptor, readable when a notification waits."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the socket; twice does no harm."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def transact(self, requests: Sequence[Request]) -> None:
        """Carry out `requests` in order; raise KernelError for the first that failed.

        The kernel goes on after a failed request, so what can be done is done. Only the last
        request asks for an acknowledgement; errors come for every one.
        """
        if not requests:
            return
        first = self._sequence + 1
        last = self._sequence = self._sequence + len(requests)
        packets = []
        for sequence, request in enumerate(requests, first):
            flags = request.flags | REQUEST | (ACK if sequence == last else 0)
            length = _HEADER.size + len(request.body)
            packets.append(_HEADER.pack(length, request.kind, flags, sequence, 0))
            packets.append(request.body + bytes(-length % 4))
        self._send(b"".join(packets))
        failure: KernelError | None = None
        for reply in self._replies(first, last):
            if reply.kind != _ERROR:
                continue
            request = requests[reply.sequence - first]
            error = self._error(request, reply.body)
            if error and error.errno not in request.tolerated:
                failure = failure or error
            if reply.sequence == last:
                break
        if failure:
            raise failure

    def query(self, request: Request) -> Reply:
        """Return the one object that `request` asks for; raise KernelError if there is none."""
        self._ask(request, REQUEST)
        for reply in self._replies(self._sequence, self._sequence):
            if reply.kind != _ERROR:
                return reply
            if error := self._error(request, reply.body):
                raise error
        raise KernelError(errno.ENOENT, f"{request.name}: nothing")

    def _ask(self, request: Request, flags: int) -> None:
        self._sequence += 1
        length = _HEADER.size + len(request.body)
        header = _HEADER.pack(length, request.kind, request.flags | flags, self._sequence, 0)
        self._send(header + request.body)

    def _send(self, data: bytes) -> None:
        try:
            self._socket.send(data)
        except OSError as error:
            raise _failed(error) from None

    def dump(self, request: Request) -> list[Reply]:
        """Return every object that `request` lists."""
        self._ask(request, REQUEST | DUMP)
        found = []
        for reply in self._replies(self._sequence, self._sequence):
            if reply.kind == _DONE:
                break
            if reply.kind == _ERROR:
                error = self._error(request, reply.body)
                if error:
                    raise error
                break
            found.append(reply)
        return found

    def notifications(self) -> list[Reply]:
        """Return the notifications that have arrived; lost ones (overrun) show as nothing."""
        found: list[Reply] = []
        while True:
            try:
                data = self._socket.recv(_RECEIVE_SIZE)
            except BlockingIOError:
                return found
            except OSError as error:
                if error.errno == errno.ENOBUFS:  # The reader was too slow; what follows is whole.
                    continue
                raise
            found.extend(_split(data))

    def _replies(self, first: int, last: int) -> Iterator[Reply]:
        while True:
            try:
                data = self._socket.recv(_RECEIVE_SIZE)
            except BlockingIOError:
                if not select.select([self._socket], [], [], _PATIENCE)[0]:
                    raise KernelError(errno.ETIMEDOUT, "netlink: no answer") from None
                continue
            except OSError as error:
                raise _failed(error) from None
            for reply in _split(data):
                if first <= reply.sequence <= last:  # Skips what an aborted call left behind.
                    yield reply

    @staticmethod
    @reading()
    def _error(request: Request, body: bytes) -> KernelError | None:
        (code,) = struct.unpack_from("=i", body)
        if code == 0:
            return None
        return KernelError(-code, f"{request.name}: {_error_text(body) or os.strerror(-code)}")


def _failed(error: OSError) -> KernelError:
    return KernelError(error.errno or errno.EIO, f"netlink: {error.strerror}")


def _error_text(body: bytes) -> str:
    """Return the kernel's own words, which follow the (capped) copy of the request's header."""
    start = 4 + _HEADER.size
    if len(body) <= start:
        return ""
    for kind, value in attributes(body[start:]):
        if kind == _ERROR_TEXT:
            return value.rstrip(b"\0").decode(errors="replace")
    return ""


def _split(data: bytes) -> Iterator[Reply]:
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, _, sequence, _ = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size:
            return
        if kind != _NOOP:
            yield Reply(kind, sequence, data[offset + _HEADER.size : offset + length])
        offset += length + -length % 4
