"""strongSwan as the IKE of a mobile node (agents.nodes.ike_daemon.contract.Initiator)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from ipaddress import IPv6Address

from agents.core.eventlog import EventLog
from agents.core.host import Closable, Host
from agents.daemons.strongswan import events
from agents.daemons.strongswan.certificates import credentials, proofs
from agents.daemons.strongswan.connection import ASKING, CHILD, PSK, connection
from agents.daemons.strongswan.daemon import Charon
from agents.daemons.strongswan.vici import Section, ViciError
from agents.eap.lower import EapPeerLike
from agents.nodes.habits import Habits
from agents.nodes.ike_daemon.ikev2_settings import Ikev2Settings
from agents.nodes.ike_daemon.settings import Ikev1Settings
from agents.nodes.mobile_node.settings import EapSettings

_NAME = "home"
"""What its one connection and key are called."""

_BELIEVED, _PAUSE = 23.0, 1.0
"""Seconds for which a refusal is not believed, and until strongSwan is told to begin again.

Anybody can send one, and a home agent may be about to learn who comes: the agents' own IKE goes on
for as long (agents.ikev2.config.TIMING).
"""


class StrongswanInitiator:
    """A mobile node's IKE by strongSwan, with a pre-shared key, or by EAP-TLS if `eap` is given.

    The ends of its ESP SAs are those of its configuration. So a home address that is not known is
    asked for with SAs of no use, which are replaced as soon as it is. `patience` is how long one
    negotiation may last.
    """

    def __init__(
        self,
        charon: Charon,
        host: Host,
        local: IPv6Address,
        settings: Ikev1Settings | Ikev2Settings,
        *,
        identity: str,
        patience: float,
        log: EventLog,
        on_failure: Callable[[str], None],
        on_lost: Callable[[], None],
        on_settled: Callable[[], None] = lambda: None,
        on_address: Callable[[IPv6Address], None] = lambda _: None,
        habits: Habits | None = None,
        eap: EapSettings | None = None,
    ) -> None:
        self._charon = charon
        charon.on_event = lambda name, told: host.enter(self._hear, name, told)
        self._host = host
        self._local = local
        self._settings = settings
        self._identity = identity
        self._patience = patience
        self._log = log
        self._on_failure = on_failure
        self._on_lost = on_lost
        self._on_settled = on_settled
        self._on_address = on_address
        self._proofs = (PSK, PSK) if eap is None else proofs(eap)
        for command in credentials(eap) if eap else ():
            charon.do(*command)
        self._habits = habits or Habits()
        self._demand: Closable | None = None
        self._keyed: bytes | None = None
        self._sought: tuple[IPv6Address, IPv6Address | None] | None = None
        """Home agent and home address, None if that one is to assign it."""

        self._child = CHILD
        self._assigned: IPv6Address | None = None

        self._negotiation = 0
        """Which of all is under way or was last; what came of an earlier one counts no more."""

        self._negotiating = self._up = False
        self._spare = 0
        """ESP SAs that have come beside those in use, which they are to replace."""

        self._until = 0.0
        self._again = host.timer(self._begin)

    # What the mobile node asks for

    def initiate(
        self,
        home_agent: IPv6Address,
        home_address: IPv6Address | None,
        *,
        psk: bytes | None = None,
        eap: EapPeerLike | None = None,  # noqa: ARG002  # strongSwan has EAP of its own.
    ) -> None:
        """Make SAs with the home agent; if the kernel's ACQUIRE is the trigger, wait for it."""
        if home_address is None and isinstance(self._settings, Ikev1Settings):
            self._on_failure("IKEv1 assigns no home address")
            return
        self._keyed = psk or self._keyed
        self._sought = home_agent, home_address
        if self._habits.ike_trigger == "handover":
            self._negotiate()
            return
        if self._demand:
            self._demand.close()

        def wanted(source: IPv6Address, destination: IPv6Address) -> None:
            if (destination, source) == self._sought and not self._negotiating:
                self._host.enter(self._negotiate)

        self._demand = self._host.watch_acquires(wanted)

    def renew(self, home_agent: IPv6Address, home_address: IPv6Address | None, psk: bytes) -> None:
        """Go on with another key: IKEv1 starts afresh, SAs of IKEv2 do not hang on it."""
        self.take_key(home_agent, home_address, psk)
        if isinstance(self._settings, Ikev1Settings) or not self.secured(home_agent):
            self._terminate()
            self.initiate(home_agent, home_address)

    def take_key(self, _: IPv6Address, __: IPv6Address | None, psk: bytes) -> None:
        """Have another key for the next negotiation; the SAs that there are stay."""
        self._keyed = psk

    def probe(self, home_agent: IPv6Address) -> None:
        """Give the SAs up with IKEv1; with IKEv2 strongSwan itself finds out (`dpd_delay`)."""
        if isinstance(self._settings, Ikev1Settings) and self.secured(home_agent):
            self._lose()

    def leave(self, home_agent: IPv6Address) -> None:
        """Want no SAs with a home agent."""
        if self._sought and self._sought[0] == home_agent:
            self._sought = None
            self._terminate()

    def secured(self, home_agent: IPv6Address) -> bool:
        """Return whether there are ESP SAs, or some are being made, for the present address."""
        mine = self._sought is not None and self._sought[0] == home_agent
        return mine and (self._negotiating or self._up)

    def settled(self, home_agent: IPv6Address) -> bool:
        """Return whether the home agent has the SAs too: the kernel has them before message 3."""
        return self._up and self.secured(home_agent)

    def move(self, local: IPv6Address) -> None:
        """Negotiate from another address from now on."""
        if local != self._local:
            self._local = local
            self._terminate()

    # What it does

    def _negotiate(self) -> None:
        """Have strongSwan learn key and peer, and then make SAs with it."""
        if self._sought is None or (self._keyed is None and self._proofs == (PSK, PSK)):
            self._on_failure("IKE is to use a pre-shared key, and there is none")
            return
        home_agent, home_address = self._sought
        self._child, self._assigned = CHILD if home_address else ASKING, None
        self._negotiation += 1
        self._negotiating, self._up = True, False
        self._until = self._host.now() + _BELIEVED
        if self._keyed is not None:
            owners = [str(home_agent)]
            key = {"id": _NAME, "type": "IKE", "data": self._keyed, "owners": owners}
            self._charon.commands.ask("load-shared", key)
        self._load(home_agent, home_address)
        is_ikev1 = isinstance(self._settings, Ikev1Settings)
        started = events.Phase1Started if is_ikev1 else events.IkeStarted
        self._log(started(self._host.now(), home_agent))

    def _load(self, home_agent: IPv6Address, known: IPv6Address | None) -> None:
        """Have strongSwan learn the connection, and then begin with it."""
        settings = self._settings
        by_address = isinstance(settings, Ikev1Settings) and settings.mode == "main"
        peer = partial(
            connection,
            settings,
            local=self._local,
            remote=home_agent,
            local_id=str(self._local) if by_address else self._identity,
            remote_id=str(home_agent),
            remote_end=home_agent,
            local_proof=self._proofs[0],
            remote_proof=self._proofs[1],
        )
        wanted = peer(local_end=known or self._assigned)
        if known is None:
            wanted["vips"] = ["::"]
            wanted["children"] |= peer(local_end=None)["children"]
        done = partial(self._answered, self._loaded, self._negotiation)
        self._charon.commands.ask("load-conn", {_NAME: wanted}, done)

    def _answered(
        self,
        handle: Callable[[int, Section | ViciError], None],
        negotiation: int,
        told: Section | ViciError,
    ) -> None:
        self._host.enter(handle, negotiation, told)

    def _loaded(self, negotiation: int, told: Section | ViciError) -> None:
        if isinstance(told, ViciError):
            self._fail(negotiation, told)
        elif negotiation == self._negotiation:
            self._begin()

    def _begin(self) -> None:
        self._ask("initiate", self._child, self._ended)

    def _ask(
        self, command: str, child: str, handle: Callable[[int, Section | ViciError], None]
    ) -> None:
        """Have something done with a CHILD SA that takes a while."""
        wish = {
            "ike": _NAME,
            "child": child,
            "timeout": str(round(self._patience * 1000)),
            "loglevel": "-1",
        }
        done = partial(self._answered, handle, self._negotiation)
        self._charon.initiations.ask(command, wish, done)

    def _ended(self, negotiation: int, told: Section | ViciError) -> None:
        if isinstance(told, ViciError):
            self._fail(negotiation, told)
        elif negotiation == self._negotiation:
            # The ESP SAs are there before the last message of IKEv1 leaves. Whoever asks for the
            # IKE SA waits until nobody is at work with it any more.
            done = partial(self._answered, self._settle, negotiation)
            self._charon.commands.ask("list-sas", {"ike": _NAME}, done)

    def _settle(self, negotiation: int, told: Section | ViciError) -> None:
        if isinstance(told, ViciError):
            self._fail(negotiation, told)
        elif negotiation == self._negotiation and self._sought:
            home_agent, known = self._sought
            if self._child == ASKING:
                self._take_address(home_agent)
            elif known is None:
                self._ask("terminate", ASKING, self._come_up)
            else:
                self._come_up(negotiation)

    def _take_address(self, home_agent: IPv6Address) -> None:
        """Have SAs made for the address that the home agent has assigned, by the same IKE SA."""
        if self._assigned is None:
            self._fail(self._negotiation, ViciError("the home agent has assigned no address"))
            return
        self._child = CHILD
        self._log(events.AddressAssigned(self._host.now(), _NAME, self._assigned))
        self._load(home_agent, None)
        self._on_address(self._assigned)

    def _come_up(self, negotiation: int, _: Section | ViciError | None = None) -> None:
        if negotiation == self._negotiation and self._sought:
            self._negotiating, self._up, self._spare = False, True, 0
            self._log(events.ChildEstablished(self._host.now(), str(self._sought[0])))
            self._on_settled()

    def _fail(self, negotiation: int, error: ViciError) -> None:
        if negotiation != self._negotiation or not self._negotiating or self._sought is None:
            return
        if self._host.now() < self._until:
            self._again.start(_PAUSE)
            return
        peer = self._sought[0]
        self._terminate()
        self._log(events.Failed(self._host.now(), str(peer), str(error)))
        self._on_failure(f"IKE with {peer} by strongSwan: {error}")

    def _terminate(self) -> None:
        """End the IKE SA and what was made with it, and what is under way."""
        self._negotiation += 1
        self._negotiating = self._up = False
        self._again.stop()
        self._charon.commands.ask("terminate", {"ike": _NAME, "force": "yes", "timeout": "-1"})

    # What strongSwan tells

    def _hear(self, event: str, told: Section) -> None:
        """Take note of an address that is assigned, and that ESP SAs are gone for good."""
        if _NAME in told and "up" in told and self._child == ASKING:
            given = told[_NAME].get("local-vips", ())
            self._assigned = next((IPv6Address(one.decode()) for one in given), None)
        if event != "child-updown" or _NAME not in told or self._negotiating or not self._up:
            return
        children = told[_NAME].get("child-sas", {}).values()
        if not any(one["name"] == CHILD.encode() for one in children):
            return
        if "up" in told:  # The daemon authenticates anew (RFC 4478).
            self._spare += 1
            self._log(events.ChildEstablished(self._host.now(), _NAME))
            return
        self._log(events.ChildDeleted(self._host.now(), _NAME))
        if self._spare:
            self._spare -= 1
        else:
            self._lose()

    def _lose(self) -> None:
        self._terminate()
        self._on_lost()

    def close(self) -> None:
        """Negotiate no more, and end what there is."""
        if self._demand:
            self._demand.close()
        self._terminate()
