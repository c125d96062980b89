"""The IKE daemon with IKEv1, and the habits of the paper's one."""

from __future__ import annotations

from functools import partial
from ipaddress import IPv6Address
from typing import Any

from agents.core.host import Closable, Host
from agents.core.machine import Event
from agents.core.record import replace
from agents.eap.lower import EapPeerLike
from agents.ike.esp import EspPair
from agents.ike.selectors import Selectors
from agents.ikev1 import events
from agents.ikev1.ikev1 import Ikev1
from agents.nodes.habits import Habits
from agents.nodes.ike_daemon.machine import IkeDaemon
from agents.nodes.ike_daemon.settings import Ikev1Settings


class Ikev1Daemon(IkeDaemon):
    """An IkeDaemon that speaks IKEv1; `options` are those of its base."""

    _machine: Ikev1

    def __init__(
        self,
        host: Host,
        local: IPv6Address,
        settings: Ikev1Settings,
        *,
        identity: str | None,
        habits: Habits | None = None,
        asks_keys: bool = False,
        **options: Any,
    ) -> None:
        config = replace(settings.config(identity), asks_keys=asks_keys)
        machine = Ikev1(rng=host.rng, local=local, config=config)
        super().__init__(host, machine, **options)
        self._habits = habits or Habits()
        self._demand: Closable | None = None
        self._busy = False
        self._keyed: set[int] = set()
        self._waiting: set[int] = set()
        self._established: set[IPv6Address] = set()
        self._poll = host.timer(self._look)
        self._negotiating: tuple[IPv6Address, Selectors] | None = None

    def initiate(
        self,
        home_agent: IPv6Address,
        home_address: IPv6Address | None,
        *,
        psk: bytes | None = None,
        eap: EapPeerLike | None = None,
    ) -> None:
        """Make SAs with the home agent; if the kernel's ACQUIRE is the trigger, wait for it."""
        if home_address is None or eap is not None:
            self._on_failure("IKEv1 delivers no home address, and knows no EAP")
            return
        if psk is not None:
            self.add_psk(psk, peer=home_agent, identity=None, home_address=home_address)
        selectors = Selectors(home_address, home_agent)
        if self._habits.ike_trigger == "handover":
            self._endpoint.call(self._start, home_agent, selectors)
            return
        if self._demand:
            self._demand.close()

        def wanted(source: IPv6Address, destination: IPv6Address) -> None:
            if (source, destination) == selectors[:2] and not self._busy:
                self._endpoint.call(self._start, home_agent, selectors)

        self._demand = self._host.watch_acquires(wanted)

    def renew(self, home_agent: IPv6Address, home_address: IPv6Address | None, psk: bytes) -> None:
        """Start afresh with the key: both kinds of SA are new."""
        if home_address is not None:
            self.take_key(home_agent, home_address, psk)
            self._endpoint.call(self._start_afresh, home_agent, home_address)

    def _start_afresh(self, home_agent: IPv6Address, home_address: IPv6Address) -> None:
        self._machine.delete(home_agent, self._host.now())
        self._start(home_agent, Selectors(home_address, home_agent))

    def probe(self, home_agent: IPv6Address) -> None:
        """Give the SAs up: IKEv1 has no exchange that asks whether a peer has them."""
        self._endpoint.call(self._machine.delete, home_agent, self._host.now())

    def move(self, local: IPv6Address) -> None:
        """Negotiate from another address from now on; ESP SAs stay."""
        super().move(local)
        self._established.clear()

    def _start(self, home_agent: IPv6Address, selectors: Selectors) -> None:
        self._sought, self._busy = home_agent, True
        poll, now = self._habits.phase1_poll, self._host.now()
        self._machine.initiate(home_agent, None if poll else selectors, now)
        if poll:
            self._negotiating = home_agent, selectors
            self._poll.start(poll)

    def _look(self) -> None:
        """Look for phase 1, and in a while again: this ends with the negotiation."""
        if self._negotiating is None:
            return
        home_agent, selectors = self._negotiating
        if home_agent in self._established:
            self._endpoint.call(self._machine.initiate, home_agent, selectors, self._host.now())
        else:
            self._poll.start(self._habits.phase1_poll)

    def _idle(self) -> None:
        """The negotiation is over: the next ACQUIRE starts another."""
        self._poll.stop()
        self._busy = False

    def _handle(self, event: Event) -> None:
        match event:
            case events.ChildKeyed():
                self._keyed.add(event.pair.inbound.spi)
                self._install(event.peer, event.pair)
            case events.ChildEstablished() if event.pair.inbound.spi not in self._keyed:
                # Message 3 leaves first: what the SA protects must not overtake it.
                self._waiting.add(event.pair.inbound.spi)
                self._host.later(partial(self._install_if_wanted, event.peer, event.pair))
                self._idle()
            case events.ChildAbandoned():
                self._remove(event.pair)
            case events.ChildDeleted():
                self._remove(event.pair)
                self._miss(event.peer, event.reason)
            case events.Phase1Established():
                self._established.add(event.peer)
                self._keys.ikev1(event.initiator_cookie, event.encryption_key)
            case events.Phase1Deleted():
                self._established.discard(event.peer)
                self._miss(event.peer, event.reason)
            case events.Failed() if self._is_setback(event.peer):
                self._idle()
            case _:
                pass

    def _install_if_wanted(self, peer: IPv6Address, pair: EspPair) -> None:
        """Install a pair, unless it has been deleted meanwhile."""
        if pair.inbound.spi in self._waiting:
            self._waiting.discard(pair.inbound.spi)
            self._install(peer, pair)

    def _remove(self, pair: EspPair) -> None:
        self._keyed.discard(pair.inbound.spi)
        self._waiting.discard(pair.inbound.spi)
        self._uninstall(pair)

    def close(self) -> None:
        """Close the sockets."""
        self._poll.stop()
        if self._demand:
            self._demand.close()
        super().close()
