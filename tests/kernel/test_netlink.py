"""The netlink socket against the running kernel; nothing is changed, and no root is needed."""

from __future__ import annotations

import asyncio
import errno

import pytest

from agents.kernel import netlink
from agents.kernel.netlink import NetlinkSocket, Request, attribute, attributes
from agents.kernel.port import KernelError

LINKS = Request("list links", 18, 0, bytes(16))
NONSENSE = Request("nonsense", 250, 0, bytes(16))


def names(replies):
    found = [dict(attributes(reply.body[16:]))[3] for reply in replies]
    return {name.rstrip(b"\0").decode() for name in found}


def test_dump():
    with NetlinkSocket(netlink.ROUTE) as sock:
        assert "lo" in names(sock.dump(LINKS))


def test_inside_a_running_loop():
    async def main():
        with NetlinkSocket(netlink.ROUTE) as sock:
            return sock.dump(LINKS)

    assert "lo" in names(asyncio.run(main()))


def test_a_refusal_names_the_operation():
    with (
        NetlinkSocket(netlink.ROUTE) as sock,
        pytest.raises(KernelError, match="nonsense: ") as caught,
    ):
        sock.transact([NONSENSE])
    assert caught.value.errno in (errno.EOPNOTSUPP, errno.EPERM)


def test_the_first_failure_of_a_batch_is_reported_and_the_socket_goes_on():
    tolerant = Request("nonsense", 250, 0, bytes(16), (errno.EOPNOTSUPP, errno.EPERM))
    other = Request("more nonsense", 251, 0, bytes(16))
    with NetlinkSocket(netlink.ROUTE) as sock:
        with pytest.raises(KernelError, match="more nonsense"):
            sock.transact([tolerant, other, NONSENSE, tolerant])
        sock.transact([tolerant, tolerant])
        sock.transact([])
        assert "lo" in names(sock.dump(LINKS))


def test_no_news_is_an_empty_list():
    with NetlinkSocket(netlink.ROUTE, groups=(1,)) as sock:
        assert sock.fileno() >= 0
        assert isinstance(sock.notifications(), list)


def test_attributes_are_padded_and_found_again():
    data = attribute(1, b"a") + attribute(0x8000 | 2, b"bcde")
    assert len(data) == 16
    assert list(attributes(data)) == [(1, b"a"), (2, b"bcde")]
