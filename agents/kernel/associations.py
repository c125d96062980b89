"""ESP security associations on Linux: install, remove, look up, watch (XFRM)."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterable
from ipaddress import IPv6Address, IPv6Network
from typing import Self

from agents.ike.esp import Encryption, EspPair, EspSa, Integrity
from agents.kernel import netlink, xfrm
from agents.kernel.netlink import NetlinkSocket, Request
from agents.kernel.port import KernelError, SaState
from agents.kernel.xfrm import SaWanted

REQID = 135
"""The request id that ties policies to the SAs of any IKE daemon (strongSwan: `reqid = 135`)."""

_NEEDED = (
    (Encryption.AES_CBC, 16, Integrity.HMAC_SHA1_96, 20),
    (Encryption.AES_CBC, 16, Integrity.HMAC_SHA2_256_128, 32),
)
_OPTIONAL = (
    (Encryption.AES_CBC, 16, Integrity.HMAC_SHA2_384_192, 48),
    (Encryption.AES_CBC, 16, Integrity.HMAC_SHA2_512_256, 64),
    (Encryption.AES_GCM_16, 20, Integrity.NONE, 0),
)
"""Algorithms with the lengths of their keys; IKE has to negotiate another one if these lack."""


class SaWatch:
    """News of security associations in this namespace, whoever installed them."""

    def __init__(self) -> None:
        self._socket = NetlinkSocket(netlink.XFRM, groups=(xfrm.SA_GROUP,))

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when an SA changes."""
        return self._socket.fileno()

    def added(self) -> list[SaState]:
        """Return the SAs that were added or updated since the last call."""
        return [sa for r in self._socket.notifications() if (sa := xfrm.decode_sa(r)) is not None]

    def close(self) -> None:
        """Stop watching."""
        self._socket.close()


class AcquireWatch:
    """News of SAs that the kernel wants, in this namespace (ACQUIRE).

    The kernel asks once: until the SA is there, or net.core.xfrm_acq_expires (30 s) is over, it
    drops what needs it without a word. If nobody watches, the next packet makes it ask again.
    """

    def __init__(self) -> None:
        self._socket = NetlinkSocket(netlink.XFRM, groups=(xfrm.ACQUIRE_GROUP,))

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when the kernel wants an SA."""
        return self._socket.fileno()

    def wanted(self) -> list[SaWanted]:
        """Return the SAs that were asked for since the last call."""
        replies = self._socket.notifications()
        return [sa for reply in replies if (sa := xfrm.decode_acquire(reply)) is not None]

    def close(self) -> None:
        """Stop watching."""
        self._socket.close()


class LinuxSecurityAssociations:
    """ESP SAs in this namespace (agents.kernel.port.SecurityAssociations).

    `reqid` ties them to the policies for Mobility Headers.
    """

    def __init__(self, *, reqid: int = REQID) -> None:
        self._reqid = reqid
        self._xfrm = NetlinkSocket(netlink.XFRM)

    def close(self) -> None:
        """Close the socket; what was set up stays."""
        self._xfrm.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def warm_up(self) -> None:
        """Add and remove a dummy SA of every algorithm (the first one costs seconds)."""
        for algorithms in _NEEDED:
            self._try(*algorithms)
        for algorithms in _OPTIONAL:
            with contextlib.suppress(KernelError):
                self._try(*algorithms)

    def _try(
        self, encryption: Encryption, key: int, integrity: Integrity, integrity_key: int
    ) -> None:
        loopback = IPv6Address("::1")
        sa = EspSa(
            loopback,
            loopback,
            0x100,
            xfrm.MOBILITY_HEADER,
            encryption,
            bytes(key),
            integrity,
            bytes(integrity_key),
            60,
        )
        self._install(sa)
        self._uninstall(sa)

    def install(self, pair: EspPair) -> None:
        """Install both directions of `pair`; an SA with the same SPI is replaced."""
        self._install(pair.inbound, pair.outbound)

    def uninstall(self, pair: EspPair) -> None:
        """Remove both directions of `pair`."""
        self._uninstall(pair.inbound, pair.outbound)

    def _install(self, *sas: EspSa) -> None:
        additions = [xfrm.add_esp(sa, self._reqid) for sa in sas]
        try:
            self._xfrm.transact(additions)
        except KernelError as error:
            if error.errno != errno.EEXIST:
                raise
            self._uninstall(*sas)
            self._xfrm.transact(additions)

    def _uninstall(self, *sas: EspSa) -> None:
        self._xfrm.transact([xfrm.remove_esp(sa.destination, sa.spi) for sa in sas])

    def sas_between(self, source: IPv6Address, destination: IPv6Address) -> list[SaState]:
        """Return the usable ESP SAs for Mobility Headers (SPI 0: not yet negotiated)."""
        found = self._there_are(IPv6Network(source), IPv6Network(destination))
        wanted = (0, xfrm.MOBILITY_HEADER)
        return [sa for sa in found if sa.protocol == xfrm.ESP and sa.spi and sa.selects in wanted]

    def _there_are(self, source: IPv6Network, destination: IPv6Network) -> list[SaState]:
        replies = self._xfrm.dump(xfrm.list_sas(source, destination))
        return [sa for reply in replies if (sa := xfrm.decode_sa(reply))]

    def _removals(self, found: Iterable[SaState]) -> list[Request]:
        """Return the requests that remove our ESP SAs, those that are only asked for too."""
        requests = []
        for sa in found:
            if (sa.protocol, sa.reqid) == (xfrm.ESP, self._reqid):
                by_spi = [xfrm.remove_esp(sa.destination, sa.spi)]
                requests += by_spi if sa.spi else xfrm.remove_acquired(sa)
        return requests
