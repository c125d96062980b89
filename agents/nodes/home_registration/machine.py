"""The Mobile IPv6 daemon of the mobile node: registers the care-of address once it may.

As a program it is what the launch script starts; otherwise a part of the mobile node.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from ipaddress import IPv6Address, IPv6Network
from typing import Protocol

from agents.core.eventlog import EventLog
from agents.core.host import Closable, Host
from agents.core.machine import Event
from agents.kernel.port import KernelError, MobileNodeKernel
from agents.mip6 import mobile_node as events
from agents.mip6.authentication import RegistrationAuthentication
from agents.mip6.binding_cache import link_local_of
from agents.mip6.codec import Status
from agents.mip6.mobile_node import HomeRegistration
from agents.mip6.neighbour import ALL_NODES, advertisement
from agents.mip6.prefix_discovery import PrefixDiscovery, PrefixesLearnt, PrefixSolicited
from agents.mip6.prefixes import ADVERTISEMENT
from agents.nodes.habits import Habits
from agents.nodes.home_registration.routes import Routes

SILENCE = 4
"""Binding Updates without an answer, which take 10.5 s (RFC 6275 section 12)."""


_FOR_GOOD = (
    Status.ADMINISTRATIVELY_PROHIBITED,
    Status.HOME_REGISTRATION_NOT_SUPPORTED,
    Status.NOT_HOME_SUBNET,
    Status.MESSAGE_ID_REQUIRED,
)
"""Refusals that follow from how either end is set up."""


class Failure(Protocol):
    """Who hears that a registration is not to be had, and whether another try would be as vain."""

    def __call__(self, reason: str, *, refused: bool) -> None:
        """Take the reason."""


class RegistrationService:
    """Prepares the kernel, and sends the first Binding Update once IKE's SAs are in it.

    The SAs are looked for in the kernel, so that any IKE daemon will do. If the kernel's ACQUIRE
    is what starts IKE, the first Binding Update does not wait: it is what makes the kernel ask,
    and is lost. `on_failure` hears that no registration is under way any more, `on_silence` that
    the home agent leaves Binding Updates unanswered: it may have lost the SAs. `on_unanswered`
    hears, of an attempt that has lasted for long, that it goes on, `on_discovery` that the home
    prefixes are to be asked for, which needs an SA of its own. SAs are of use when IKE, if it
    is at hand, has `settled` them: before that the home agent may not have them yet. With
    `authentication` there are none, and nothing is waited for.
    """

    def __init__(
        self,
        host: Host,
        *,
        home_address: IPv6Address,
        home_agent: IPv6Address,
        care_of: IPv6Address,
        lifetime: float,
        prefix_length: int = 64,
        kernel: MobileNodeKernel,
        log: EventLog,
        habits: Habits | None = None,
        on_failure: Failure,
        on_unanswered: Callable[[str], None],
        on_silence: Callable[[], None] = lambda: None,
        on_discovery: Callable[[], None] = lambda: None,
        settled: Callable[[], bool] = lambda: True,
        route_optimisation: bool = False,
        authentication: RegistrationAuthentication | None = None,
    ) -> None:
        self._habits = habits or Habits()
        self._on_failure = on_failure
        self._on_unanswered = on_unanswered
        self._on_silence = on_silence
        self._on_discovery = on_discovery
        self._settled = settled
        self._unanswered = 0
        self._needs_sas = authentication is None
        self.home_address = home_address
        self._home_agent = home_agent
        self._kernel = kernel
        self._role_log = log
        self._log = log.child("mip6")
        self.bootstrapped = False
        self._host = host
        self._watch: Closable | None = None
        self._step = host.timer(self._detected)
        kernel.prepare(home_address, home_agent, care_of)
        link_local = link_local_of(home_address)
        self._machine = HomeRegistration(
            home_address,
            home_agent,
            care_of,
            lifetime=lifetime,
            rng=host.rng,
            timers=self._habits.timers,
            link_local=link_local if host.has_address(link_local) else None,
            authentication=authentication,
        )
        self._endpoint = host.mobility_headers(self._machine, home_address, self._handle)
        self._discovery = PrefixDiscovery(home_agent, rng=host.rng)
        self._prefixes = host.prefix_discovery(
            self._discovery, home_address, ADVERTISEMENT, self._learn
        )
        self._home_link = IPv6Network((home_address, prefix_length), strict=False)
        self._at_home = self._home_care_of(care_of)
        self._routes = (
            Routes(host, kernel.routes(), home_address, care_of, log)
            if route_optimisation
            else None
        )
        self._detect()

    def _home_care_of(self, care_of: IPv6Address) -> IPv6Address | None:
        """Return a care-of address that is one of the home link, which its prefix tells."""
        return care_of if care_of in self._home_link else None

    def _detect(self) -> None:
        """Wait for the movement detector's next step, if it goes by steps."""
        step, now = self._habits.movement_detection, self._host.now()
        if step:
            self._step.start_at((now // step + 1) * step)
        else:
            self._detected()

    def _detected(self) -> None:
        if self._habits.ike_trigger == "acquire":
            self._start()
        else:
            self.renew()

    def _start(self) -> None:
        if self._at_home:
            self._come_home()
        else:
            self._endpoint.call(self._machine.start, self._host.now())

    def _come_home(self) -> None:
        """Have the home agent intercept nothing any more (RFC 6275 section 11.5.5).

        The home address is on the home link once the update has left: what looks for the home
        agent's link-layer address before that is not to come from it.
        """
        if self._routes:
            self._routes.leave()
        self._try(self._kernel.go_home)
        self._prefixes.call(self._discovery.stop)
        self._endpoint.call(self._machine.go_home, self._host.now())
        self._host.later(self._settle)

    def _settle(self) -> None:
        if self._at_home:
            self._try(partial(self._kernel.settle, self._at_home))

    def _arrive(self, care_of: IPv6Address) -> None:
        """Nobody intercepts any more: draw packets for the home address to this host."""
        try:
            link = self._host.open_link(self._kernel.settle(care_of), lambda _: None)
        except OSError as error:
            self._role_log.write("KernelFailed", reason=str(error))
            return
        packet = advertisement(self.home_address, self.home_address, link.link_address)
        link.send(packet, ALL_NODES)
        link.close()
        self._role_log.write("ReturnedHome", home_address=self.home_address)

    @property
    def _protected(self) -> bool:
        """Whether an update may leave and its answer come in: there are SAs both ways."""
        if not self._needs_sas:
            return True
        ends = self.home_address, self._home_agent
        both = all(self._kernel.sas_between(*way) for way in (ends, ends[::-1]))
        return both and self._settled()

    def look(self) -> None:
        """Look once more whether there are SAs, if that is waited for."""
        if self._watch:
            self._start_if_protected()

    def _start_if_protected(self) -> None:
        if self._protected:
            self._stop_watching()
            self._start()

    def _stop_watching(self) -> None:
        if self._watch:
            self._watch.close()
            self._watch = None

    def renew(self) -> None:
        """Register or refresh the binding as soon as there are SAs for it."""
        if self._watch is None:
            self._watch = self._host.watch_sas(self._start_if_protected)
            self._start_if_protected()

    def move(self, care_of: IPv6Address, *, register: bool = True) -> None:
        """Go to another care-of address, and register it."""
        there = self._home_care_of(care_of)
        if there and register:
            self._at_home = there
            self._come_home()
            return
        if self._at_home:
            self._kernel.prepare(self.home_address, self._home_agent, care_of)
        else:
            self._kernel.move(care_of)
        self._at_home = there
        if self._routes:
            self._routes.move(care_of)
        if not register:
            self._machine.care_of = care_of
            return
        self._endpoint.call(self._machine.move, care_of, self._host.now())

    def deregister(self) -> None:
        """Remove the binding."""
        self._stop_watching()
        if self._routes:
            self._routes.ended()
        self._endpoint.call(self._machine.stop, self._host.now())

    def _handle(self, event: Event) -> None:
        if self._routes and self._routes.concerns(event):
            return
        if isinstance(event, events.BindingUpdateSent) and self._is_lost():
            self._log.write("BindingUpdateDropped", sequence=event.sequence)
            return
        self._log(event)
        match event:
            case events.BindingUpdateSent():
                self._unanswered += 1
                if self._unanswered % SILENCE == 0:
                    self._on_silence()
            case events.BindingExpired():  # Those that were not answered are so still.
                self._end()
            case events.BindingAccepted(lifetime=0):
                self._unanswered = 0
                self._prefixes.call(self._discovery.stop)
                self._end()
            case events.BindingAccepted():
                self._unanswered = 0
                self._use_tunnel()
                if self._routes:
                    self._routes.registered(event.lifetime)
                if event.status == Status.PREFIX_DISCOVERY_NECESSARY and self._needs_sas:
                    self._prefixes.call(self._discovery.solicit, self._host.now())
            case events.BindingRefused():
                self._unanswered = 0
                self._prefixes.call(self._discovery.stop)
                reason = f"the home agent refused the binding: {event.status.name}"
                # What was granted before may be so again.
                refused = event.status in _FOR_GOOD and not self.bootstrapped
                self._fail(reason, refused=refused)
            case events.Unanswered():
                self._on_unanswered(f"home registration: {event.reason}")
            case events.Failed():
                self._unanswered = 0
                self._prefixes.call(self._discovery.stop)
                self._fail(f"home registration: {event.reason}")
            case _:
                pass

    def _learn(self, event: Event) -> None:
        """Go on with what the home agent tells of the home link (RFC 6275 section 11.4.3)."""
        self._log(event)
        match event:
            case PrefixSolicited():
                self._on_discovery()
            case PrefixesLearnt(prefixes=prefixes):
                left = [p.valid for p in prefixes if self.home_address in p.network]
                if valid := max(left, default=0):
                    self._endpoint.call(self._machine.prefix_learnt, valid, self._host.now())
                else:
                    self._fail("the home prefix is not valid any more")

    def _is_lost(self) -> bool:
        """Return whether the kernel, for want of an SA, will drop what is about to be sent."""
        return self._habits.ike_trigger == "acquire" and not self._protected

    def _end(self) -> None:
        """There is no binding any more."""
        if self._at_home is None:
            self._close_tunnel()
            return
        self._try(self._kernel.close_tunnel)
        self._arrive(self._at_home)
        if self._routes:
            self._routes.come_home()

    def _use_tunnel(self) -> None:
        if not self._try(self._kernel.open_tunnel):
            self._fail("the kernel does not open the tunnel")
        elif not self.bootstrapped:
            self.bootstrapped = True
            self._role_log.write(
                "Bootstrapped", home_address=self.home_address, home_agent=self._home_agent
            )

    def _close_tunnel(self) -> None:
        if self._routes:
            self._routes.ended()
        self._try(self._kernel.close_tunnel)

    def _try(self, operation: Callable[[], object]) -> bool:
        """Carry out an operation of the kernel; return whether it could be."""
        try:
            operation()
        except KernelError as error:
            self._role_log.write("KernelFailed", reason=str(error))
            return False
        return True

    def _fail(self, reason: str, *, refused: bool = False) -> None:
        self._close_tunnel()
        self._on_failure(reason, refused=refused)

    def close(self) -> None:
        """Close the sockets."""
        self._stop_watching()
        self._step.stop()
        if self._routes:
            self._routes.close()
        self._endpoint.close()
        self._prefixes.close()
