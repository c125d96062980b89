"""Host A: the mobile node's bootstrap, stage by stage.

Network access (PANA, IEEE 802.1X, or none), then the home agent (delivered by PANA, configured, or
found by DHCPv6, DNS or DHAAD), then IKE (version 1 or 2), then the home registration.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from ipaddress import IPv6Address

from agents.bootstrap.assignment import Assignment
from agents.bootstrap.sealed import SealError
from agents.core.configuration import Commands
from agents.core.eventlog import EventLog
from agents.core.host import Host
from agents.core.unicast import is_unicast
from agents.eap.peer import EapPeer
from agents.eap.tls import EapKeys
from agents.ikev2.config import Credentials
from agents.kernel.port import MobileNodeKernel
from agents.mip6.authentication import check_key
from agents.nodes.ike_daemon.contract import MakeInitiator
from agents.nodes.keylog import KeyLog
from agents.nodes.mobile_node.access import Granted, PanaAccess
from agents.nodes.mobile_node.discovery import Discovery, Tried
from agents.nodes.mobile_node.dot1x import Dot1xAccess
from agents.nodes.mobile_node.home import HomeConnection, Launch
from agents.nodes.mobile_node.movement import Movement
from agents.nodes.mobile_node.settings import (
    MobileNodeConfiguration,
    PanaSettings,
    SoughtSettings,
    StaticSettings,
)
from agents.nodes.mobile_node.supplicant import Supplicant
from agents.nodes.mobile_node.trust import Trust
from agents.nodes.retry import Attempts, Retry, Stage


class MobileNode:
    """Carries out the bootstrap; each stage calls the next, and is tried again when it fails.

    `make_eap` returns an EAP peer for one conversation, `credentials` are IKEv2's, `preshared` is
    a preconfigured key for IKE. `attempts` are those made so far. `launch` starts the daemons by
    script, if that is how the bootstrap goes on; `make_ike` makes another IKE than the agents'.
    `supplicant` is there for access by IEEE 802.1X.
    """

    def __init__(
        self,
        configuration: MobileNodeConfiguration,
        host: Host,
        kernel: MobileNodeKernel,
        care_of: IPv6Address,
        log: EventLog,
        *,
        keys: KeyLog,
        make_eap: Callable[[], EapPeer],
        credentials: Credentials,
        attempts: Attempts | None = None,
        preshared: bytes | None = None,
        launch: Launch | None = None,
        make_ike: MakeInitiator | None = None,
        supplicant: Supplicant | None = None,
    ) -> None:
        if configuration.authentication_option:
            check_key(preshared, configuration.psk_file)
        self._host = host
        self._configuration = configuration
        self._care_of = care_of
        self._log = log
        self._trust = Trust(
            configuration.eap.identity,
            access.wish if isinstance(access := configuration.access, PanaSettings) else None,
            protection=configuration.protection,
            psk_source=configuration.psk_source,
            preshared=preshared,
        )
        self._granted: Granted | None = None
        self._foretold: tuple[EapKeys, Assignment] | None = None
        """What was sealed before an EAP's end, and that EAP's keys."""
        self._discovery: Discovery | None = None
        self._tried = Tried()
        self._attempts = attempts or Attempts(log)
        self._retry = Retry(host, self._find_home_agent, configuration.crowd)
        self._access = self._make_access(make_eap, supplicant)
        self._home = HomeConnection(
            configuration,
            host,
            kernel,
            care_of,
            log,
            attempts=self._attempts,
            keys=keys,
            credentials=credentials,
            launch=launch,
            psk=self._psk,
            go_back=self._go_back,
            make_eap=make_eap,
            make_ike=make_ike,
        )
        self._movement = self._detect_movement() if configuration.movement else None

    def _detect_movement(self) -> Movement:
        return Movement(
            self._host,
            self._configuration.interface,
            self._care_of,
            log=self._log.child("mip6"),
            on_link=self._take_link,
        )

    def _make_access(
        self, make_eap: Callable[[], EapPeer], supplicant: Supplicant | None
    ) -> PanaAccess | Dot1xAccess | None:
        settings = self._configuration.access
        access: PanaAccess | Dot1xAccess
        if settings is None:
            return None
        if not isinstance(settings, PanaSettings):
            if supplicant is None:
                raise ValueError("access by 802.1X needs a supplicant")
            access = Dot1xAccess(
                self._host,
                supplicant,
                self._care_of,
                log=self._log.child("dot1x"),
                attempts=self._attempts,
                on_granted=self._take_access,
            )
            access.on_confirmed = self._follow
            return access
        access = PanaAccess(
            self._host,
            settings,
            make_eap,
            self._care_of,
            log=self._log.child("pana"),
            attempts=self._attempts,
            on_granted=self._take_access,
            on_foretold=self._take_foretold if self._configuration.early else None,
            crowd=self._configuration.crowd,
        )
        access.on_confirmed = self._follow
        if self._configuration.movement:
            access.on_failed = self._look_around
        return access

    def start(self) -> None:
        """Begin with the first stage there is, at once or after a random time.

        If the link turns out to be another one than it seems, it begins anew there.
        """
        if self._movement:
            self._movement.start()
        if most := self._configuration.crowd.start_delay:
            self._host.timer(self._begin).start(self._host.rng.uniform(0, most))
        else:
            self._begin()

    def _begin(self) -> None:
        if self._access:
            self._access.start()
        else:
            self._find_home_agent()

    def _fail(self, reason: str, stage: Stage = "pana") -> None:
        """Tell that no home agent was found; without one from before it is looked for again."""
        self._attempts.fail(stage, reason)
        if stage == "discovery" and self._access:
            self._access.ping()  # Who was started again lets nobody pass.
        if stage == "discovery" and self._home.assignment:
            self._home.renew()
        else:
            self._retry.later()

    # Network access

    def _take_access(self, granted: Granted) -> None:
        again = self._granted is not None
        moved = self._home.care_of != self._care_of
        self._granted = granted
        # The final PANA answer leaves first.
        self._host.later(partial(self._go_on, granted, again=again, moved=moved))

    def _go_on(self, granted: Granted, *, again: bool, moved: bool) -> None:
        """Go on with what access has brought; another authentication renews what is there.

        Who has moved registers for that.
        """
        if self._configuration.discovery is None:
            self._take_delivered(granted, again=again, moved=moved)
        elif again and self._home.assignment:
            self._home.renew(moved=moved)
        else:
            self._find_home_agent()

    def _take_delivered(self, granted: Granted, *, again: bool, moved: bool) -> None:
        """Go on with the home agent that network access has delivered.

        Without one, another session is begun: in the draft's dialect the wish is told at the start
        alone, where nothing protects it. Whatever there is lasts until then.
        """
        try:
            assignment = self._trust.assignment(granted, self._told_before(granted.keys))
        except SealError as error:
            self._fail(f"the access router cannot be trusted: {error}")
            return
        if assignment is None:
            self._fail("network access was granted without a home agent")
        elif again and assignment == self._home.assignment:
            self._home.renew(moved=moved)
        else:
            self._home.take(assignment)

    def _take_foretold(self, sealed: bytes, keys: EapKeys) -> None:
        if self._granted is None:
            # EAP's answer leaves first.
            self._host.later(partial(self._start_early, sealed, keys))

    def _start_early(self, sealed: bytes, keys: EapKeys) -> None:
        """Begin IKE before EAP's end; what cannot be believed is left to the last message."""
        if self._granted is not None or self._told_before(keys):
            return
        try:
            assignment = self._trust.unseal(sealed, keys)
        except SealError as error:
            self._log.write("EarlyStartRefused", reason=str(error))
            return
        if assignment and assignment.home_address:
            self._follow()
            self._foretold = keys, assignment
            self._home.begin(assignment, self._trust.psk(assignment, keys))

    def _told_before(self, keys: EapKeys | None) -> Assignment | None:
        """Return what was sealed in the same EAP before its end."""
        return self._foretold[1] if self._foretold and self._foretold[0] == keys else None

    def _psk(self, assignment: Assignment) -> bytes | None:
        """Return IKE's pre-shared key, from what EAP has granted so far."""
        return self._trust.psk(assignment, self._granted.keys if self._granted else None)

    def _go_back(self) -> bool:
        """Go back to where the home agent or IKE's key comes from; return whether that can be."""
        discovery = self._configuration.discovery
        known = discovery is not None and self._configuration.ike_by_eap
        if self._access and self._trust.preshared is None and not known:
            return self._access.reauthenticate() or self._access.authenticates
        if isinstance(discovery, SoughtSettings):
            if self._home.assignment:
                self._tried.fail(self._home.assignment.home_agent)
            self._discover(discovery)
            return True
        return False

    # The home agent

    def _find_home_agent(self) -> None:
        """Look for the home agent, or have network access deliver one."""
        match self._configuration.discovery:
            case StaticSettings() as known:
                address = IPv6Address(known.home_address) if known.home_address else None
                home_agent = IPv6Address(known.home_agent)
                self._home.take(Assignment(home_agent, known.prefix_length, address))
            case None if self._access:
                self._access.begin_anew()
            case None:
                pass
            case sought:
                self._discover(sought)

    def _discover(self, settings: SoughtSettings) -> None:
        if self._discovery:
            self._discovery.close()
        try:
            self._discovery = Discovery(
                self._host,
                settings,
                self._configuration.interface,
                self._care_of,
                log=self._log,
                tried=self._tried,
                on_found=self._home.take,
                on_failure=partial(self._fail, stage="discovery"),
            )
        except OSError as error:
            self._fail(f"no home agent can be looked for: {error.strerror}", "discovery")
            return
        self._discovery.start()

    # Movement, and what else may be asked of this host while it runs

    def _move(self, care_of: IPv6Address) -> bool:
        """Go to another care-of address, once the access router has taken note of it.

        There is none to be told on the home link.
        """
        told = True
        if not self._access or self._home.is_home_link(care_of):
            self._care_of = care_of
            self._home.move(care_of)
            if self._discovery and self._discovery.is_under_way:
                self._find_home_agent()
        else:
            told = self._access.move(care_of)
            self._care_of = self._access.care_of
        if self._movement:
            self._movement.arrived(self._care_of)
        return told

    def _own_address(self, text: str) -> IPv6Address:
        """Return an address of this host that can be a care-of address; ValueError says why not."""
        address = IPv6Address(text)
        if not is_unicast(address):
            raise ValueError(f"{text} is not a global unicast address, as a care-of address is")
        if not self._host.has_address(address):
            raise ValueError(f"{text} is no address of this host that can be used now")
        return address

    def _take_link(self, care_of: IPv6Address, router: IPv6Address | None) -> None:
        """Go on from this link if it is another one, where network access begins anew.

        Its router is the PAA, but for a session that there is: anybody can say that it is another.
        Without its address, or at home, it is a movement as any other.
        """
        access, moved = self._access, care_of != self._care_of
        if moved:
            self._log.write("CareOfAddress", address=care_of)
        if isinstance(access, PanaAccess) and router and not self._home.is_home_link(care_of):
            self._care_of = care_of
            if moved or (router != IPv6Address(access.paa) and access.authenticates):
                access.change(str(router), care_of)
        elif moved:
            self._move(care_of)

    def _look_around(self) -> None:
        """Ask for the router here: it may be another one than the PAA that does not answer."""
        if self._movement:
            self._movement.start()

    def _follow(self) -> None:
        """Go on from the address that may be used now, unless that is so."""
        if self._home.care_of != self._care_of:
            self._home.move(self._care_of)

    def commands(self) -> Commands:
        """What may be asked of this host while it runs."""
        home, access = self._home, self._access
        own: dict[str, Callable[..., object]] = {
            "deregister": home.deregister,
            "refresh": home.refresh,
            "move": lambda address: self._move(self._own_address(address)),
        }
        if self._configuration.ikev2:
            own["rekey-ike"] = home.rekey_ike
            own["rekey-children"] = home.rekey_children
        if access:
            if isinstance(access, PanaAccess):
                own["ping"] = access.ping
            own["reauthenticate"] = access.reauthenticate
            own["terminate"] = access.terminate
        return own

    def close(self) -> None:
        """Close all sockets, and have the kernel forget what was set up."""
        for part in (self._movement, self._access, self._home, self._discovery, self._retry):
            if part:
                part.close()
