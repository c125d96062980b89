"""IKEv2 of one host: both roles, many peers (RFC 7296, RFC 4877, RFC 5026)."""

from __future__ import annotations

import random
from collections import deque
from ipaddress import IPv6Address

from agents.core.machine import Address, Event
from agents.eap.lower import EapPeerLike
from agents.ike.constants import MOBILITY_HEADER
from agents.ike.psk import PskEntry
from agents.ike.selectors import Selectors
from agents.ikev2 import events
from agents.ikev2.config import Allocate, Config, Credentials, Grant
from agents.ikev2.ike_sa_manager import IkeSaManager, Timer
from agents.ikev2.receiver import Receiver
from agents.ikev2.sa import Child, Closed, Established, IkeSa, Initiating, Intent, Method
from agents.ikev2.task_manager import TaskManager
from agents.ikev2.tasks import CreateChild, DeleteChildren, RekeyIke


class Ikev2:
    """An IKEv2 endpoint without I/O; its datagrams go over UDP port 500.

    IKE runs between `local` and the peer's address, on a mobile node its care-of address and the
    home agent's; the SAs are for the selectors, home address and home agent (RFC 4877 section 7).
    Every negotiation ends with an event of success or with `Failed`. `allocate` is asked which
    home address an authenticated peer may have, unless its pre-shared key or the AAA says so.
    """

    outbox: deque[tuple[bytes, Address]]
    events: deque[Event]

    def __init__(
        self,
        *,
        rng: random.Random,
        local: IPv6Address,
        config: Config | None = None,
        credentials: Credentials | None = None,
        allocate: Allocate | None = None,
    ) -> None:
        credentials = credentials or Credentials()
        self.sas = IkeSaManager(rng, local, config or Config(), credentials, allocate)
        self.outbox = self.sas.outbox
        self.events = self.sas.events
        self._tasks = TaskManager(self.sas)
        self._receiver = Receiver(self.sas, self._tasks)

    @property
    def local(self) -> IPv6Address:
        """The address that IKE runs from.

        With a new one, new negotiations start from it; IKE SAs of before are not used for new
        requests (there is no MOBIKE), but deleted with their ESP SAs as soon as there is one from
        the new address (RFC 4877 section 7.4). That is so for who comes back to an address, too:
        the peer may have completed a negotiation meanwhile that this host has not.
        """
        return self.sas.local

    @local.setter
    def local(self, address: IPv6Address) -> None:
        self.sas.move(address)

    # Whom to trust.

    def add_psk(
        self,
        psk: bytes,
        *,
        peer: IPv6Address | None = None,
        identity: str | None = None,
        home_address: IPv6Address | None = None,
    ) -> None:
        """Take the key of a peer, known by its address, its identity or both.

        Whatever its holder claims, it is authenticated as `identity`, without one as `peer`.
        `home_address` is the only one that this peer may have SAs for, and is assigned to it if
        it asks for one; without it, `allocate` decides.
        """
        self.sas.psks.add(PskEntry(psk, peer, identity, home_address))

    def remove_psk(self, *, peer: IPv6Address | None = None, identity: str | None = None) -> None:
        """Forget a key; SAs that were made with it stay until `delete` or `delete_identity`."""
        self.sas.psks.remove(peer, identity)

    def give_key(self, spi: bytes, entry: PskEntry | None, now: float) -> None:
        """Answer `KeyWanted`: its IKE SA goes on with this key, or ends if there is none."""
        self._receiver.auth_responder.give_key(spi, entry, now)

    # What the owner wants.

    def initiate(
        self,
        peer: IPv6Address,
        selectors: Selectors,
        now: float,
        *,
        eap: EapPeerLike | None = None,
        remote_identity: str | None = None,
    ) -> None:
        """Make SAs for `selectors` with a peer, over the IKE SA that is up or a new one.

        A new one is authenticated by `eap` if given, else by the pre-shared key for the peer's
        address, else by certificate. Unless a pre-shared key is used, the peer's certificate must
        name `remote_identity`, without one the peer's address. Selectors without a local address
        have the peer assign one; that needs a new IKE SA.
        """
        selectors = Selectors(*selectors)
        running = self._running(peer)
        if running is not None and selectors.local is not None:
            self._tasks.ask(running, CreateChild(selectors), now)
            return
        known = [] if eap is not None else self.sas.psks.by_address(peer)
        psk = known[0] if known else None
        if eap is not None:
            method = Method.EAP
        elif psk is not None:
            method = Method.PSK
        elif self.sas.credentials.key is not None:
            method = Method.CERTIFICATE
        else:
            reason = f"no pre-shared key for {peer}, no certificate, no EAP"
            self.sas.events.append(events.Failed(now, peer, reason, selectors))
            return
        self._receiver.init_initiator.start(
            peer, Intent(selectors, method, psk, eap, remote_identity), now
        )

    def prepare(self) -> None:
        """Do ahead of need what the next negotiation would take most of its time for."""
        self.sas.key_pairs.prepare(self.sas.config.proposals[0].group)

    def connected(self, peer: IPv6Address) -> bool:
        """Return whether an IKE SA with a peer is up, or the local host is making one."""
        return self._running(peer) is not None

    def serves(self, identity: str) -> bool:
        """Return whether there is an IKE SA with whom was authenticated as `identity`."""
        return any(not isinstance(sa.state, Closed) for sa in self.sas.of_identity(identity))

    def serves_peer(self, peer: IPv6Address) -> bool:
        """Return whether an IKE SA with a peer is up at the present local address.

        It may be one in whose place another one is to be made.
        """
        return self._up(peer) is not None

    def is_bare(self, peer: IPv6Address) -> bool:
        """Return whether an IKE SA with a peer is up, and has no CHILD SAs, nor is making any."""
        sa = self.sas.usable(peer)
        return sa is not None and not sa.children and not self.secured(peer)

    def _up(self, peer: IPv6Address) -> IkeSa | None:
        here = (s for s in self.sas.of_peer(peer) if s.up and s.local == self.sas.local)
        return self.sas.usable(peer) or next(here, None)

    def secured(self, peer: IPv6Address) -> bool:
        """Return whether there are CHILD SAs for Mobility Headers, or the local host makes some.

        Those of before a movement do not count.
        """
        return any(s.protocol == MOBILITY_HEADER for s in self._selectors(peer))

    def protects(self, peer: IPv6Address, selectors: Selectors) -> bool:
        """Return whether there are CHILD SAs for this traffic, or the local host makes some."""
        return selectors in self._selectors(peer)

    def _selectors(self, peer: IPv6Address) -> list[Selectors]:
        there = [s for s in self.sas.of_peer(peer) if not s.is_left]
        up = [child.selectors for sa in there for child in sa.children.values()]
        return up + [selectors for sa in there for selectors in sa.wanted]

    def _running(self, peer: IPv6Address) -> IkeSa | None:
        """Return an IKE SA with a peer that is up, or that the local host is making."""
        making = (
            s for s in self.sas.of_peer(peer) if isinstance(s.state, Initiating) and not s.is_left
        )
        return self.sas.usable(peer) or next(making, None)

    def suspect(self, peer: IPv6Address, now: float) -> bool:
        """Find out soon whether a peer still has the IKE SA; return whether there is one.

        Without an answer it is deleted: `Config.timing_suspected`.
        """
        sa = self._up(peer)
        if sa is not None:
            self._tasks.dpd.suspect(sa, now)
        return sa is not None

    def rekey_ike(self, peer: IPv6Address, now: float) -> bool:
        """Replace the IKE SA with a peer now; return whether there is one."""
        sa = self.sas.usable(peer)
        if sa is not None:
            self._tasks.ask(sa, RekeyIke(), now)
        return sa is not None

    def rekey_children(self, peer: IPv6Address, now: float) -> int:
        """Replace the CHILD SAs with a peer now; return how many there are."""
        children = [c for sa in self.sas.of_peer(peer) for c in sa.children.values()]
        for child in children:
            self._tasks.child_rekey.replace(child, now)
        return len(children)

    def delete(self, peer: IPv6Address, now: float, selectors: Selectors | None = None) -> None:
        """Delete the SAs with a peer; without `selectors` the IKE SAs too.

        Without `selectors` ESP SAs are gone when this returns, and negotiations that run have
        failed; other SAs are gone when the peer has answered or is found not to answer.
        """
        for sa in self.sas.of_peer(peer):
            if selectors is not None:
                doomed = tuple(c for c in sa.children.values() if c.selectors == selectors)
                if doomed:
                    self._tasks.ask(sa, DeleteChildren(doomed, "deleted"), now)
            elif not isinstance(sa.state, Established):
                self.sas.close(sa, "deleted", now)
            else:
                self._tasks.ike_delete.end(sa, "deleted", now)

    def delete_child(self, spi: int, now: float) -> None:
        """Delete the pair of ESP SAs with this inbound SPI, if there is one."""
        if (child := self.sas.children.get(spi)) is not None:
            self._tasks.ask(child.owner, DeleteChildren((child,), "deleted"), now)

    def delete_identity(self, identity: str, now: float) -> None:
        """Delete what there is with whom was authenticated as `identity`, or is about to be.

        ESP SAs are gone when this returns and no others are made; IKE SAs go as with `delete`.
        """
        for sa in self.sas.of_identity(identity):
            if isinstance(sa.state, Established):
                self._tasks.ike_delete.end(sa, "deleted", now)
            elif not isinstance(sa.state, Closed):
                self._receiver.auth_responder.fail(sa, "IKE_AUTH: deleted", now)

    # The AAA's calls. A verdict that comes too late is an event, not an error.

    def awaits_eap(self, ike_spi: bytes) -> bool:
        """Return whether the initiator waits for the AAA's word: ask before opening anything."""
        return self._receiver.auth_responder.awaits_eap(ike_spi)

    def eap_request(self, ike_spi: bytes, packet: bytes, now: float) -> None:
        """Send the AAA's next EAP request to the initiator."""
        self._receiver.auth_responder.eap_request(ike_spi, packet, now)

    def eap_success(
        self,
        ike_spi: bytes,
        packet: bytes,
        msk: bytes,
        now: float,
        *,
        identity: str,
        grant: Grant | None = None,
        lifetime: float | None = None,
    ) -> None:
        """Finish EAP with success: `packet` is EAP-Success, `msk` what both sides prove.

        `identity` is whom the AAA has authenticated, whatever IDi says (section 2.16); `grant` is
        the home address that it assigns, without it `allocate` decides. After `lifetime` seconds
        the IKE SA ends, rekeyed or not (section 2.8.3).
        """
        self._receiver.auth_responder.eap_success(
            ike_spi, packet, msk, now, identity=identity, grant=grant, lifetime=lifetime
        )

    def eap_failure(
        self, ike_spi: bytes, packet: bytes | None, now: float, reason: str = "EAP has failed"
    ) -> None:
        """Finish EAP with failure: `packet` is EAP-Failure if there is one."""
        self._receiver.auth_responder.eap_failure(ike_spi, packet, reason, now)

    # Messages.

    def handle_message(self, data: bytes, source: Address, now: float) -> None:
        """Take one datagram from `source`."""
        self._receiver.handle(data, source, now)

    # Time.

    def next_timeout(self) -> float | None:
        """Return the earliest deadline, or None if no timer runs."""
        return self.sas.timers.next()

    def handle_timeout(self, now: float) -> None:
        """Act on every deadline that is not after `now`."""
        while (key := self.sas.timers.pop(now)) is not None:
            timer, spi, number = key
            if (child := self.sas.children.get(number)) is not None:
                self._child_due(timer, child, now)
            elif (sa := self.sas.table.get(spi)) is not None:
                self._sa_due(timer, sa, now)

    def _child_due(self, timer: Timer, child: Child, now: float) -> None:
        if timer is Timer.CHILD_REKEY:
            self._tasks.child_rekey.due(child, now)
        else:
            self._tasks.ask(child.owner, DeleteChildren((child,), "expired"), now)

    def _sa_due(self, timer: Timer, sa: IkeSa, now: float) -> None:
        match timer:
            case Timer.RETRANSMIT:
                self._tasks.retransmit(sa, now)
            case Timer.GIVE_UP:
                self._tasks.give_up(sa, now)
            case Timer.IKE_REKEY:
                self._tasks.ike_rekey.due(sa, now)
            case Timer.IKE_EXPIRES:
                self._tasks.ike_delete.end(sa, "expired", now)
            case Timer.LIVENESS:
                self._tasks.dpd.due(sa, now)
            case Timer.RETRY:
                self._tasks.retry(sa, now)
            case Timer.REAUTHENTICATE:
                sa.is_left = True
                self.sas.events.append(events.ReauthenticationDue(now, sa.peer, sa.identity))
            case Timer.FORGET:
                self.sas.forget(sa)
            case _:
                pass
