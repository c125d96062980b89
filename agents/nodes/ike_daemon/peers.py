"""The peers of an IKE daemon: in its configuration, and as files that come and go."""

from __future__ import annotations

from contextlib import suppress
from ipaddress import IPv6Address
from pathlib import Path
from typing import Protocol

from agents.core.configuration import ConfigurationError, load
from agents.core.eventlog import EventLog
from agents.nodes.ike_daemon.settings import Peer


class Keys(Protocol):
    """What an IKE service does with the keys of its peers."""

    def add_psk(
        self,
        psk: bytes,
        *,
        peer: IPv6Address | None,
        identity: str | None,
        home_address: IPv6Address,
    ) -> None:
        """Share a key with a peer, for SAs of this home address alone."""

    def remove_psk(self, identity: str) -> None:
        """Forget the key of a peer; SAs made with it stay."""

    def delete_identity(self, identity: str) -> None:
        """Delete the SAs that were made with the key of a peer."""


def add(peer: Peer, key: bytes, service: Keys) -> None:
    """Let a peer make SAs; ValueError if an address is none."""
    service.add_psk(
        key,
        peer=IPv6Address(peer.address) if peer.address else None,
        identity=peer.identity,
        home_address=IPv6Address(peer.home_address),
    )


class PeerFolder:
    """A folder with a file for each peer, of which those that have changed are read again.

    A peer here has an identity. Its key ends with its file, and its SAs with it; those of the
    others stay. SAs outlive the change of a key, not that of the home address they are for. What
    is wrong with one peer's file does no harm to the others.
    """

    def __init__(self, folder: Path, service: Keys, log: EventLog) -> None:
        self._folder = folder
        self._service = service
        self._log = log
        self._versions: dict[str, tuple[int, int]] = {}
        self._shared: dict[str, tuple[str, IPv6Address]] = {}

    def read(self) -> None:
        """Take what has come or changed, and end what has gone."""
        there = {}
        for path in self._folder.glob("*.toml"):
            with suppress(FileNotFoundError):
                status = path.stat()
                there[path.name] = status.st_ino, status.st_mtime_ns
        for name in self._versions.keys() - there.keys():
            self._end(self._forget(name))
        changed = {n: v for n, v in there.items() if self._versions.get(n) != v}
        before = {name: self._forget(name) for name in changed}
        self._versions.update(changed)
        for name, shared in before.items():
            self._take(name, shared)

    def _take(self, name: str, before: tuple[str, IPv6Address] | None) -> None:
        """Share a key as a file says; what was shared by it `before` ends if it is another's."""
        try:
            peer = load(self._folder / name, Peer)
            if peer.identity is None:
                raise ConfigurationError("a peer without an identity")
            shared = peer.identity, IPv6Address(peer.home_address)
            if before != shared:
                self._end(before)
                before = None
            add(peer, peer.key(), self._service)
        except (ConfigurationError, ValueError) as error:
            self._end(before)
            self._log.write("PeerRefused", file=name, reason=str(error))
        else:
            self._shared[name] = shared

    def _forget(self, name: str) -> tuple[str, IPv6Address] | None:
        """Have the service forget the key of a file's peer; return whose and for what it was."""
        self._versions.pop(name, None)
        shared = self._shared.pop(name, None)
        if shared:
            self._service.remove_psk(shared[0])
        return shared

    def _end(self, shared: tuple[str, IPv6Address] | None) -> None:
        if shared:
            self._service.delete_identity(shared[0])
