"""Host A: the mobile node's bootstrap, stage by stage.

Network access (PANA, or none), then the home agent (delivered by PANA, configured, or found by
DHCPv6 or DNS), then IKE (version 1 or 2), then the home registration.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from ipaddress import IPv6Address
from typing import Protocol

from agents.bootstrap.assignment import Assignment
from agents.bootstrap.sealed import SealError
from agents.core.configuration import Commands, ConfigurationError
from agents.core.eventlog import EventLog
from agents.core.host import Closable, Host
from agents.eap.tls import EapKeys
from agents.kernel.port import MobileNodeKernel
from agents.nodes.home_registration.machine import RegistrationService
from agents.nodes.ike_daemon.ikev1 import Ikev1Daemon
from agents.nodes.ike_daemon.ikev2 import Ikev2Daemon
from agents.nodes.keylog import KeyLog
from agents.nodes.mobile_node.access import EapPeers, Granted, PanaAccess
from agents.nodes.mobile_node.discovery import Discovery
from agents.nodes.mobile_node.settings import (
    Dhcpv6Settings,
    DnsSettings,
    MobileNodeConfiguration,
    StaticSettings,
)
from agents.nodes.mobile_node.trust import Trust
from agents.nodes.retry import Retry


class Launch(Protocol):
    """Starts the daemons that finish the bootstrap with a pre-shared key."""

    def __call__(
        self,
        psk: bytes,
        home_agent: IPv6Address,
        home_address: IPv6Address,
        care_of: IPv6Address,
    ) -> Closable:
        """Return what ends them when it is closed."""


class MobileNode:
    """Carries out the bootstrap; each stage calls the next.

    `preshared` is a preconfigured key for IKE. `launch` starts the daemons by script, if that is
    how the bootstrap goes on.
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
        preshared: bytes | None = None,
        launch: Launch | None = None,
    ) -> None:
        self._host = host
        self._configuration = configuration
        self._care_of = care_of
        self._log = log
        self._keys = keys
        self._kernel = kernel
        self._launcher = launch
        self._peers = EapPeers(configuration.eap, self._keys)
        self._trust = Trust(
            configuration.eap.identity,
            configuration.access.wish if configuration.access else None,
            protection=configuration.protection,
            psk_source=configuration.psk_source,
            preshared=preshared,
        )
        self._granted: Granted | None = None
        self._assignment: Assignment | None = None
        self._foretold: Assignment | None = None
        self._launched: Closable | None = None
        self._registration: RegistrationService | None = None
        self._binding_wanted = False
        self._ike_is_lost = False
        self._retry = Retry(host, self._try_again)
        self._access = self._make_access()
        self._ikev1, self._ikev2 = self._make_ike()
        if self._access:
            self._access.on_moved = self._moved
        stages = (self._access, self._ikev1, self._ikev2, self._retry)
        self._stages: list[Closable] = [stage for stage in stages if stage]

    def _make_access(self) -> PanaAccess | None:
        settings = self._configuration.access
        if settings is None:
            return None
        return PanaAccess(
            self._host,
            settings,
            self._peers,
            self._care_of,
            log=self._log.child("pana"),
            on_granted=self._on_granted,
            on_failure=self._access_failed,
            on_foretold=self._on_foretold if self._configuration.early else None,
        )

    def _make_ike(self) -> tuple[Ikev1Daemon | None, Ikev2Daemon | None]:
        configuration = self._configuration
        if configuration.launch == "script":
            return None, None
        self._kernel.warm_up()
        if configuration.ikev1:
            return (
                Ikev1Daemon(
                    self._host,
                    self._care_of,
                    configuration.ikev1,
                    identity=configuration.eap.identity,
                    kernel=self._kernel,
                    keys=self._keys,
                    log=self._log.child("ikev1"),
                    on_failure=self._ike_failed,
                    habits=configuration.habits,
                ),
                None,
            )
        if configuration.ikev2 is None:
            raise ConfigurationError("neither IKEv1 nor IKEv2 is configured")
        service = Ikev2Daemon(
            self._host,
            self._care_of,
            configuration.ikev2,
            identity=configuration.eap.identity,
            kernel=self._kernel,
            keys=self._keys,
            log=self._log.child("ikev2"),
            trusted=configuration.eap.tls,
            on_failure=self._ike_failed,
        )
        service.on_address = self._on_address
        service.on_lost = self._retry.later
        return None, service

    def start(self) -> None:
        """Begin with the first stage there is."""
        if self._access:
            self._access.start()
        else:
            self._discover()

    def _fail(self, reason: str) -> None:
        """Tell that an attempt has failed; there will be another."""
        self._log.write("BootstrapFailed", reason=reason)
        self._retry.later()

    def _access_failed(self, reason: str) -> None:
        """Tell that an attempt has failed; network access makes another by itself."""
        self._log.write("BootstrapFailed", reason=reason)

    def _ike_failed(self, reason: str) -> None:
        self._ike_is_lost = True
        if self._registration and self._registration.bootstrapped:
            self._log.write("IkeFailed", reason=reason)
            self._retry.later()
        else:
            self._fail(reason)

    def _try_again(self) -> None:
        """Go on at the stage that has failed, with what the stages before it have brought."""
        if self._assignment is None:
            if self._configuration.discovery:
                self._discover()
            elif self._access:
                self._access.reauthenticate()
        elif self._registration is None or self._binding_wanted:
            self._negotiate_again(self._assignment)

    def _negotiate_again(self, assignment: Assignment) -> None:
        """Make SAs anew, and register; a key from PANA's EAP may be one that nobody knows now."""
        from_access = not (self._trust.preshared or self._uses_eap)
        if self._ike_is_lost and from_access and self._access and self._access.reauthenticate():
            return  # What follows from that renews the SAs.
        if self._ikev1 and self._ike_is_lost and assignment.home_address:
            self._ikev1.renew(assignment.home_agent, assignment.home_address)
        self._ike_is_lost = False
        self._initiate_again()
        if self._registration:
            self._registration.renew()

    @property
    def _uses_eap(self) -> bool:
        settings = self._configuration.ikev2
        return settings is not None and settings.authentication == "eap"

    def _on_silence(self) -> None:
        """The home agent does not answer what SAs protect: it may have lost them."""
        if self._ikev2 and self._assignment:
            self._ikev2.probe(self._assignment.home_agent)
        elif self._ikev1:
            self._ike_is_lost = True
            self._retry.later()

    def _on_granted(self, granted: Granted) -> None:
        again = self._granted is not None
        self._granted = granted
        # The final PANA answer leaves first.
        go_on = self._renew if again else self._after_access
        self._host.later(partial(go_on, granted))

    def _renew(self, granted: Granted) -> None:
        """After another authentication, renew what hangs on its keys; the tunnel stays."""
        try:
            told = self._trust.assignment(granted, None)
        except SealError as error:
            self._log.write("RenewalRefused", reason=str(error))
            return
        discovered = self._configuration.discovery is not None
        assignment = self._assignment if discovered else told
        if assignment is None:
            return
        if assignment != self._assignment:
            self._take_up(assignment)
            return
        self._ike_is_lost = False
        psk, agent, address = self._psk(assignment), assignment.home_agent, assignment.home_address
        if self._launched:
            self._drop(self._launched)
            self._hand_over(assignment)
        elif self._ikev1 and psk and address:
            self._ikev1.add_psk(psk, peer=agent, identity=None, home_address=address)
            self._ikev1.renew(agent, address)
        else:
            self._initiate_again()
        if self._registration and self._binding_wanted:
            self._registration.renew()

    def _take_up(self, assignment: Assignment) -> None:
        """Go over to another home agent or home address."""
        self._log.write("AssignmentChanged", home_agent=assignment.home_agent)
        self._foretold = None
        for stage in (self._registration, self._launched):
            if stage:
                self._drop(stage)
        self._registration = self._launched = None
        self._hand_over(assignment)

    def _drop(self, stage: Closable) -> None:
        stage.close()
        self._stages.remove(stage)

    def _move(self, address: str) -> bool:
        """Go to another care-of address, once the access router has taken note of it."""
        if not self._access:
            return False
        told = self._access.move(IPv6Address(address))
        self._care_of = self._access.care_of
        return told

    def _moved(self) -> None:
        if self._ikev1:
            self._ikev1.move(self._care_of)
        if self._ikev2:
            self._ikev2.move(self._care_of)
            self._initiate_again()
        if self._registration:
            self._registration.move(self._care_of, register=self._binding_wanted)

    def _refresh(self) -> bool:
        if self._registration:
            self._binding_wanted = True
            self._initiate_again()
            self._registration.renew()
        return self._registration is not None

    def _deregister(self) -> bool:
        self._binding_wanted = False
        if self._registration:
            self._registration.deregister()
        return self._registration is not None

    def _rekey(self, rekey: Callable[[IPv6Address], bool]) -> bool:
        return self._assignment is not None and rekey(self._assignment.home_agent)

    def commands(self) -> Commands:
        """What may be asked of this host while it runs."""
        own: dict[str, Callable[..., object]] = {
            "deregister": self._deregister,
            "refresh": self._refresh,
        }
        ike = self._ikev2
        if ike:
            own["rekey-ike"] = lambda: self._rekey(ike.rekey_ike)
            own["rekey-children"] = lambda: self._rekey(ike.rekey_children)
        if self._access:
            own["move"] = self._move
            own["ping"] = self._access.ping
            own["reauthenticate"] = self._access.reauthenticate
            own["terminate"] = self._access.terminate
        return own

    def _after_access(self, granted: Granted) -> None:
        if self._configuration.discovery:
            self._discover()
            return
        try:
            assignment = self._trust.assignment(granted, self._foretold)
        except SealError as error:
            self._fail(f"the access router cannot be trusted: {error}")
            return
        if assignment is None:
            self._fail("network access was granted without a home agent")
        else:
            self._hand_over(assignment)

    def _on_foretold(self, sealed: bytes, keys: EapKeys) -> None:
        if self._granted is None:
            # EAP's answer leaves first.
            self._host.later(partial(self._start_early, sealed, keys))

    def _start_early(self, sealed: bytes, keys: EapKeys) -> None:
        """Begin IKE before EAP's end; what cannot be believed is left to the last message."""
        if self._foretold is not None or self._granted is not None:
            return
        try:
            assignment = self._trust.unseal(sealed, keys)
        except SealError as error:
            self._log.write("EarlyStartRefused", reason=str(error))
            return
        if self._ikev2 and assignment and assignment.home_address:
            self._foretold = self._assignment = assignment
            self._negotiate_v2(self._ikev2, assignment, self._trust.psk(assignment, keys))

    def _discover(self) -> None:
        configuration = self._configuration
        match configuration.discovery:
            case StaticSettings() as known:
                address = IPv6Address(known.home_address) if known.home_address else None
                home_agent = IPv6Address(known.home_agent)
                self._hand_over(Assignment(home_agent, known.prefix_length, address))
            case Dhcpv6Settings() | DnsSettings() as settings:
                discovery = Discovery(
                    self._host,
                    settings,
                    configuration.interface,
                    self._care_of,
                    log=self._log,
                    on_found=self._hand_over,
                    on_failure=self._fail,
                )
                self._stages.append(discovery)
                discovery.start()
            case None:
                pass

    def _psk(self, assignment: Assignment) -> bytes | None:
        """Return IKE's pre-shared key, from what EAP has granted so far."""
        return self._trust.psk(assignment, self._granted.keys if self._granted else None)

    def _hand_over(self, assignment: Assignment) -> None:
        """Go on to IKE; the kernel is prepared while IKE's first message is under way."""
        self._assignment = assignment
        if assignment == self._foretold:
            self._register(assignment)  # IKE has begun, and may have failed since.
            self._initiate_again()
            return
        psk = self._psk(assignment)
        if self._ikev2:
            self._negotiate_v2(self._ikev2, assignment, psk)
        elif assignment.home_address is None or psk is None:
            self._fail(
                "IKEv1 delivers no home address and needs a pre-shared key: both are missing"
            )
        elif self._ikev1:
            agent, address = assignment.home_agent, assignment.home_address
            self._ikev1.add_psk(psk, peer=agent, identity=None, home_address=address)
            self._ikev1.initiate(agent, address)
            self._register(assignment)
        else:
            self._launch(assignment.home_agent, assignment.home_address, psk)

    def _negotiate_v2(self, ike: Ikev2Daemon, assignment: Assignment, psk: bytes | None) -> None:
        settings = self._configuration.ikev2
        if settings and settings.authentication == "psk" and psk is None:
            self._fail("IKEv2 is to use a pre-shared key, and there is none")
            return
        self._initiate_v2(ike, assignment, assignment.home_address, psk)
        if assignment.home_address is not None and assignment != self._foretold:
            self._register(assignment)

    def _initiate_v2(
        self,
        ike: Ikev2Daemon,
        assignment: Assignment,
        home_address: IPv6Address | None,
        psk: bytes | None,
    ) -> None:
        eap = self._peers() if self._uses_eap else None
        self._retry.begun()
        ike.initiate(assignment.home_agent, home_address, psk=psk, eap=eap)

    def _initiate_again(self) -> None:
        """Make SAs from the present care-of address, unless there are some."""
        ike, assignment, registration = self._ikev2, self._assignment, self._registration
        if not (ike and assignment) or ike.secured(assignment.home_agent):
            return
        home_address = registration.home_address if registration else assignment.home_address
        self._initiate_v2(ike, assignment, home_address, self._psk(assignment))

    def _on_address(self, home_address: IPv6Address) -> None:
        """Go on with the home address that the home agent has assigned by IKEv2."""
        if self._registration is None and self._assignment is not None:
            self._register(replace(self._assignment, home_address=home_address))

    def _register(self, assignment: Assignment) -> None:
        if assignment.home_address is None:
            return
        self._binding_wanted = True
        self._registration = RegistrationService(
            self._host,
            home_address=assignment.home_address,
            home_agent=assignment.home_agent,
            care_of=self._care_of,
            lifetime=self._configuration.binding_lifetime,
            kernel=self._kernel,
            log=self._log,
            habits=self._configuration.habits,
            on_failure=self._retry.later,
            on_silence=self._on_silence,
        )
        self._stages.append(self._registration)

    def _launch(self, home_agent: IPv6Address, home_address: IPv6Address, psk: bytes) -> None:
        """Start the daemons by the script that writes their configurations."""
        if self._launcher is None:
            self._fail("there is nothing to launch the daemons with")
            return
        self._launched = self._launcher(psk, home_agent, home_address, self._care_of)
        self._stages.append(self._launched)

    def close(self) -> None:
        """Close all sockets; the kernel forgets what is set up with the host."""
        for stage in self._stages:
            stage.close()
