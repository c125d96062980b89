"""What the mobile node has of its home agent: SAs by IKE, and a registration under them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from ipaddress import IPv6Address, IPv6Network
from typing import Any, Protocol

from agents.bootstrap.assignment import Assignment
from agents.core.eventlog import EventLog
from agents.core.host import Closable, Host
from agents.eap.peer import EapPeer
from agents.ikev2.config import Credentials
from agents.kernel.port import KernelError, MobileNodeKernel
from agents.mip6.authentication import RegistrationAuthentication
from agents.nodes.home_registration.machine import RegistrationService
from agents.nodes.ike_daemon.contract import Initiator, MakeInitiator
from agents.nodes.ike_daemon.ikev1 import Ikev1Daemon
from agents.nodes.ike_daemon.ikev2 import Ikev2Daemon
from agents.nodes.keylog import KeyLog
from agents.nodes.mobile_node.settings import MobileNodeConfiguration
from agents.nodes.retry import Attempts, Retry, Stage


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


class HomeConnection:
    """IKE and the home registration with one home agent after the other, or a script for both.

    `psk` returns the pre-shared key for an assignment. `go_back` has the stage done once more in
    which the key or the home agent comes from, of which renew() or take() is the end, and returns
    whether there will be one. `make_eap` returns EAP's next conversation, `make_ike` the IKE of
    another than the agents. What fails is tried again.
    """

    def __init__(
        self,
        configuration: MobileNodeConfiguration,
        host: Host,
        kernel: MobileNodeKernel,
        care_of: IPv6Address,
        log: EventLog,
        *,
        attempts: Attempts,
        keys: KeyLog,
        credentials: Credentials,
        launch: Launch | None,
        psk: Callable[[Assignment], bytes | None],
        go_back: Callable[[], bool],
        make_eap: Callable[[], EapPeer],
        make_ike: MakeInitiator | None = None,
    ) -> None:
        self._configuration = configuration
        self._host = host
        self._kernel = kernel
        kernel.clear()
        self.care_of = care_of
        """The address that it goes on from."""

        self._has_to_move = False
        self._log = log
        self._attempts = attempts
        self._launch = launch
        self._psk = psk
        self._go_back = go_back
        self._make_eap = make_eap
        self._eap: EapPeer | None = None
        self._retry = Retry(host, self._negotiate_again, configuration.crowd)
        self._ike = self._daemon(keys, credentials, make_ike)
        self._by_script = configuration.launch == "script"
        self._launched: Closable | None = None
        self._registration: RegistrationService | None = None
        self._wanted = True
        self._is_lost = False
        self.assignment: Assignment | None = None
        self._home_address: IPv6Address | None = None
        """What is to be registered, once it is known."""

    def _daemon(
        self, keys: KeyLog, credentials: Credentials, make: MakeInitiator | None
    ) -> Initiator | None:
        configuration, host = self._configuration, self._host
        if configuration.launch == "script" or configuration.authentication_option:
            return None
        self._kernel.warm_up()
        version = "ikev1" if configuration.ikev1 else "ikev2"
        options: dict[str, Any] = {
            "identity": configuration.eap.identity,
            "log": self._log.child(version),
            "on_failure": self._ike_failed,
            "on_lost": self._lose,
        }
        if make and (settings := configuration.ikev1 or configuration.ikev2):
            options |= {"on_settled": self._take_sas, "on_address": self._take_address}
            return make(host, self.care_of, settings, habits=configuration.habits, **options)
        options |= {"kernel": self._kernel, "keys": keys}
        if configuration.ikev1:
            ikev1, habits = configuration.ikev1, configuration.habits
            resident = Ikev1Daemon(host, self.care_of, ikev1, habits=habits, **options)
            resident.open()
            return resident
        if configuration.ikev2 is None:
            raise ValueError("neither IKEv1 nor IKEv2 is configured")
        daemon = Ikev2Daemon(
            host,
            self.care_of,
            configuration.ikev2,
            credentials=credentials,
            crowd=configuration.crowd,
            **options,
        )
        daemon.on_address = self._take_address
        daemon.on_expiring = self._initiate
        daemon.open()
        return daemon

    # From assignment to registration

    def take(self, assignment: Assignment) -> None:
        """Go on with a home agent; the kernel is prepared while IKE's first message is under way.

        If IKE has been begun with it early, only what is missing follows.
        """
        if assignment != self.assignment:
            self.begin(assignment)
        else:
            self._is_lost = False
            self._initiate()
            self._refresh()
        self._go_on(assignment)

    def begin(self, assignment: Assignment, psk: bytes | None = None) -> None:
        """Make SAs with a home agent, in place of the one before; register nothing yet."""
        if self.assignment:
            self._log.write("AssignmentChanged", home_agent=assignment.home_agent)
            self._leave(self.assignment.home_agent)
        self.assignment, self._home_address, self._is_lost = assignment, None, False
        if self._by_script:
            self._start_daemons(assignment)
        else:
            self._initiate(psk)

    def _leave(self, home_agent: IPv6Address) -> None:
        """Have nothing of a home agent any more; it may be the next one again."""
        self._drop()
        if self._ike:
            self._ike.leave(home_agent)
        self._clear()  # Who registers has it cleared again.

    def _clear(self) -> None:
        try:
            self._kernel.clear()
        except KernelError as error:
            self._log.write("KernelFailed", reason=str(error))

    def _drop(self) -> None:
        for part in (self._registration, self._launched):
            if part:
                part.close()
        self._registration = self._launched = None

    def _initiate(self, psk: bytes | None = None) -> None:
        """Make SAs for the present care-of address, unless there are some."""
        ike, assignment, configuration = self._ike, self.assignment, self._configuration
        if not (ike and assignment) or ike.secured(assignment.home_agent):
            return
        psk = psk or self._psk(assignment)
        if not configuration.ike_by_eap and psk is None:
            self._fail("ike", "IKE is to use a pre-shared key, and there is none")
            return
        eap = self._eap = self._make_eap() if configuration.ike_by_eap else None
        self._retry.begun()
        known = self._registration
        home_address = known.home_address if known else assignment.home_address
        ike.initiate(assignment.home_agent, home_address, psk=psk, eap=eap)

    def _take_address(self, home_address: IPv6Address) -> None:
        """Go on with the home address that the home agent has assigned by IKEv2."""
        if self._registration is None:
            self._home_address = home_address
            self._register()

    def _go_on(self, assignment: Assignment) -> None:
        """Have registered what is assigned; where there is a script, its daemons do that."""
        if not self._by_script:
            self._home_address = assignment.home_address or self._home_address
            self._register()

    def _register(self) -> None:
        """Begin the registration, if it is known of what, and it has not begun."""
        assignment, home_address = self.assignment, self._home_address
        if assignment is None or home_address is None or self._registration:
            return
        self._wanted = True
        try:
            self._registration = RegistrationService(
                self._host,
                home_address=home_address,
                home_agent=assignment.home_agent,
                care_of=self.care_of,
                lifetime=self._configuration.binding_lifetime,
                prefix_length=assignment.prefix_length,
                kernel=self._kernel,
                log=self._log,
                habits=self._configuration.habits,
                on_failure=self._registration_failed,
                on_unanswered=partial(self._attempts.fail, "binding"),
                on_silence=self._test_home_agent,
                on_discovery=self._protect_discovery,
                settled=partial(self._is_settled, assignment.home_agent),
                route_optimisation=self._configuration.route_optimisation,
                authentication=self._authentication(assignment),
            )
        except OSError as error:
            self._fail("binding", f"{home_address} cannot be registered: {error}")

    def _authentication(self, assignment: Assignment) -> RegistrationAuthentication | None:
        """Return what stands in IPsec's place, if something does."""
        configuration, key = self._configuration, self._psk(assignment)
        if not configuration.authentication_option or key is None:
            return None
        return RegistrationAuthentication(configuration.eap.identity, key, self._host.time_of_day)

    def _is_settled(self, home_agent: IPv6Address) -> bool:
        """Return whether the home agent has the SAs too, as far as IKE can tell."""
        return self._ike is None or self._ike.settled(home_agent)

    def _take_sas(self) -> None:
        """Go on with SAs that were in the kernel before the home agent had them."""
        if self._registration:
            self._registration.look()

    def _start_daemons(self, assignment: Assignment) -> None:
        """Start the daemons by the script that writes their configurations."""
        psk, home_address = self._psk(assignment), assignment.home_address
        if self._launch is None or psk is None or home_address is None:
            self._fail("ike", "the daemons need a pre-shared key and a home address")
            return
        self._retry.begun()
        try:
            self._launched = self._launch(psk, assignment.home_agent, home_address, self.care_of)
        except OSError as error:
            self._fail("ike", f"the daemons cannot be started: {error}")

    # Failures

    def _fail(self, stage: Stage, reason: str, *, refused: bool = False) -> None:
        """Tell that an attempt has failed; there will be another."""
        self._attempts.fail(stage, reason)
        self._retry.later(refused=refused)

    def _ike_failed(self, reason: str) -> None:
        """Try again; a home agent that served until now is left if it serves no more."""
        ike, assignment = self._ike, self.assignment
        self._is_lost = True
        if isinstance(ike, Ikev2Daemon) and assignment:
            self._is_lost = not ike.still_serves(assignment.home_agent)
            known = self._registration and assignment.home_address is None
            if known and ike.refuses_sas(assignment.home_agent):
                self._ask_for_another_address(assignment)
        self._fail("ike", reason, refused=self._eap is not None and self._eap.refused)

    def _ask_for_another_address(self, assignment: Assignment) -> None:
        """Have none of before: the home agent makes no SAs for it, who has just authenticated."""
        self._leave(assignment.home_agent)
        self._home_address = None

    def _registration_failed(self, reason: str, *, refused: bool) -> None:
        self._fail("binding", reason, refused=refused)

    def _lose(self) -> None:
        """The home agent has ended the SAs, or does not answer: it may serve this host no more."""
        self._is_lost = True
        self._retry.later()

    def _negotiate_again(self) -> None:
        """Make SAs anew, and register; key and home agent may be others by now."""
        if self._has_to_move:
            self.move(self.care_of)
            return
        if self._registration and not self._wanted:
            return
        if self._is_lost and self._go_back():
            return  # What follows from that renews the SAs, or makes some with another home agent.
        self._is_lost = False
        if self._by_script and self.assignment and self._launched is None:
            self._start_daemons(self.assignment)
        self._initiate()
        self._refresh()
        self._register()

    def _refresh(self) -> None:
        """Register once more, if there is a registration and it is wanted."""
        if self._registration and self._wanted:
            self._registration.renew()

    def _test_home_agent(self) -> None:
        """The home agent does not answer what SAs protect: it may have lost them."""
        if self._ike and self.assignment:
            self._ike.probe(self.assignment.home_agent)

    def _protect_discovery(self) -> None:
        """Have SAs for prefix discovery; IKEv1 and other daemons make none but for bindings."""
        if isinstance(self._ike, Ikev2Daemon) and self.assignment and self._registration:
            home_address = self._registration.home_address
            self._ike.protect_discovery(self.assignment.home_agent, home_address)

    def is_home_link(self, address: IPv6Address) -> bool:
        """Return whether an address is of the home link, as far as that is known."""
        assignment, known = self.assignment, self._registration
        if assignment is None or known is None:
            return False
        prefix = IPv6Network((known.home_address, assignment.prefix_length), strict=False)
        return address in prefix

    # What changes

    def renew(self, *, moved: bool = False) -> None:
        """Go on with the key of another authentication; the tunnel stays.

        Who has moved registers for that, and the SAs that protect it stay, too.
        """
        assignment, ike = self.assignment, self._ike
        if assignment is None:
            return
        self._is_lost = False
        psk = None if self._configuration.ike_by_eap else self._psk(assignment)
        if self._by_script:
            self._drop()
            self._start_daemons(assignment)
        elif ike is None:
            pass
        elif psk and moved:
            ike.take_key(assignment.home_agent, assignment.home_address, psk)
        elif psk:
            ike.renew(assignment.home_agent, assignment.home_address, psk)
        else:
            self._initiate()
        if not moved:
            self._refresh()
        self._go_on(assignment)  # It may be one that was begun early, by an EAP without an end.

    def move(self, care_of: IPv6Address) -> None:
        """Go on from another care-of address; if that cannot be now, it is tried again."""
        self.care_of, self._is_lost, self._has_to_move = care_of, False, False
        self._retry.close()
        try:
            if self._ike:
                self._ike.move(care_of)
                self._initiate()
            if self._registration:
                self._registration.move(care_of, register=self._wanted)
        except OSError as error:  # The kernel's refusals too.
            self._has_to_move = True
            self._fail("binding", f"{care_of} cannot be used: {error}")

    # What may be asked for

    def refresh(self) -> bool:
        """Register anew; return whether there is a registration."""
        if self._registration:
            self._wanted = True
            self._initiate()
            self._registration.renew()
        return self._registration is not None

    def deregister(self) -> bool:
        """Remove the binding; return whether there is a registration."""
        if self._registration:
            self._wanted = False
            self._registration.deregister()
        return self._registration is not None

    def rekey_ike(self) -> bool:
        """Replace the IKE SA; return whether there is one, of IKEv2."""
        return self._rekey(Ikev2Daemon.rekey_ike)

    def rekey_children(self) -> bool:
        """Replace the ESP SAs; return whether there are any, of IKEv2."""
        return self._rekey(Ikev2Daemon.rekey_children)

    def _rekey(self, rekey: Callable[[Ikev2Daemon, IPv6Address], bool]) -> bool:
        if self.assignment is None or not isinstance(self._ike, Ikev2Daemon):
            return False
        return rekey(self._ike, self.assignment.home_agent)

    def close(self) -> None:
        """Close all sockets, and have the kernel forget what was set up."""
        self._retry.close()
        self._drop()
        if self._ike:
            self._ike.close()
        self._clear()
