"""strongSwan as the IKE of a home agent (agents.nodes.ike_daemon.contract.Responder)."""

from __future__ import annotations

from contextlib import suppress
from ipaddress import IPv6Address

from agents.core.eventlog import EventLog
from agents.core.host import Host
from agents.daemons.strongswan import events
from agents.daemons.strongswan.connection import connection
from agents.daemons.strongswan.daemon import Charon
from agents.daemons.strongswan.vici import Section, ViciError
from agents.nodes.ike_daemon.ikev2_settings import Ikev2Settings
from agents.nodes.ike_daemon.settings import Ikev1Settings


class StrongswanResponder:
    """A home agent's IKE by strongSwan: a connection and a key for each peer, called as this is."""

    def __init__(
        self,
        charon: Charon,
        host: Host,
        local: IPv6Address,
        settings: Ikev1Settings | Ikev2Settings,
        log: EventLog,
    ) -> None:
        self._charon = charon
        self._host = host
        charon.on_event = lambda name, told: host.enter(self._hear, name, told)
        self._local = local
        self._settings = settings
        self._log = log
        self._peers: dict[str, IPv6Address] = {}

    def open(self) -> None:
        """Listen: the daemon does so since its start, at whatever addresses the host has."""

    def add_psk(
        self,
        psk: bytes,
        *,
        peer: IPv6Address | None,
        identity: str | None,
        home_address: IPv6Address | None,
    ) -> None:
        """Share a key with a peer, for SAs of this home address alone.

        In IKEv1's main mode it is the peer's address that says whose key is meant.
        """
        if identity is None or home_address is None:
            raise ValueError("strongSwan wants to know whose key it is, and for what")
        settings = self._settings
        name = identity
        if isinstance(settings, Ikev1Settings) and settings.mode == "main":
            if peer is None:
                self._fail(identity, "main mode goes by the peer's address, which is not known")
                return
            name = str(peer)
        known = connection(
            settings,
            local=self._local,
            remote=peer,
            local_id=str(self._local),
            remote_id=name,
            local_end=self._local,
            remote_end=home_address,
        )
        # The key is the peer's alone: one of the home agent's too would be tried for everybody.
        key = {"id": identity, "type": "IKE", "data": psk, "owners": [name]}
        self._peers[identity] = home_address
        if self._do("load-shared", key):
            self._do("load-conn", {identity: known})

    def remove_psk(self, identity: str) -> None:
        """Forget the key of a peer; SAs made with it stay until `delete_identity`."""
        if self._peers.pop(identity, None):
            self._do("unload-conn", {"name": identity})
            self._do("unload-shared", {"id": identity})

    def delete_identity(self, identity: str) -> None:
        """Delete the SAs of a peer."""
        with suppress(ViciError):  # There may be none.
            self._charon.do("terminate", {"ike": identity, "force": "yes", "timeout": "-1"})

    def _do(self, command: str, message: Section) -> bool:
        """Have a command carried out at once: a mobile node may come as soon as it is told."""
        try:
            self._charon.do(command, message)
        except ViciError as error:
            self._fail("", f"{command}: {error}")
            return False
        return True

    def _hear(self, event: str, told: Section) -> None:
        """Tell of SAs that come and go."""
        name = next((one for one in told if one != "up"), "")
        came = (events.IkeEstablished, events.ChildEstablished)
        went = (events.IkeDeleted, events.ChildDeleted)
        kind = (came if "up" in told else went)[event == "child-updown"]
        self._log(kind(self._host.now(), name))

    def _fail(self, peer: str, reason: str) -> None:
        self._log(events.Failed(self._host.now(), peer, reason))

    def close(self) -> None:
        """Negotiate no more: the daemon ends with its owner."""
