"""Network access by PANA: the mobile node's first stage."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from ipaddress import IPv6Address

import msgspec

from agents.bootstrap.assignment import Assignment
from agents.core.eventlog import EventLog
from agents.core.host import Host
from agents.core.machine import Event
from agents.core.record import Record, Secret, replace
from agents.eap.peer import EapPeer
from agents.eap.tls import EapKeys
from agents.nodes.crowd import USUAL, CrowdSettings
from agents.nodes.mobile_node.settings import PanaSettings
from agents.nodes.retry import Attempts, Retry
from agents.pana import events
from agents.pana.config import PCI_TIMING, REQUEST_TIMING, PacConfig
from agents.pana.dialect import PORT
from agents.pana.dialects import DIALECTS
from agents.pana.pac import Pac
from agents.pana.pac_table import PacState


class Granted(Record, frozen=True):
    """Access was granted; the assignment is None unless one was asked for and given.

    `sealed` is what the home AAA server tells past the access router. A supplicant may keep the
    keys for itself.
    """

    assignment: Assignment | None
    sealed: Secret[bytes | None]
    keys: Secret[EapKeys | None]


class PanaAccess:
    """A PaC on its socket, and another when its session has ended otherwise than by `terminate`.

    `on_granted` hears of every authentication; of one that fails `attempts` tells.
    """

    def __init__(
        self,
        host: Host,
        settings: PanaSettings,
        make_eap: Callable[[], EapPeer],
        care_of: IPv6Address,
        *,
        log: EventLog,
        attempts: Attempts,
        on_granted: Callable[[Granted], None],
        on_foretold: Callable[[bytes, EapKeys], None] | None = None,
        crowd: CrowdSettings = USUAL,
    ) -> None:
        self._crowd = crowd
        self._host = host
        self._log = log
        self._on_granted = on_granted
        self._attempts = attempts
        self._on_foretold = on_foretold
        self._settings = settings
        self._new_eap = make_eap
        self.care_of = self._known_at = care_of
        """The address that it goes on from."""
        self._wanted = True
        self._retry = Retry(host, self.begin_anew, crowd)
        self._pac = self._make_pac()
        self._endpoint = host.datagrams(self._pac, (str(care_of), 0), self._handle)
        self.on_confirmed: Callable[[], None] | None = None
        """Called when the PAA has confirmed the address that this host goes on from."""

        self.on_failed: Callable[[], None] | None = None
        """Called when an attempt has failed: the PAA may be another one."""

    def _make_pac(self) -> Pac:
        """Return a PaC; one request to a session's PAA lasts as long as an authentication may.

        RFC 5191's ten transmissions would take 181 s, but a PAA that was started again answers a
        new session at once. Its parameters are defaults (section 9).
        """
        settings, crowd = self._settings, self._crowd
        request_timing = replace(REQUEST_TIMING, initial=crowd.timeout, duration=crowd.patience)
        config = PacConfig(
            mobility=settings.capability,
            dialect=DIALECTS[settings.dialect],
            encryption=settings.encryption,
            renew_eap=self._make_eap,
            liveness=settings.liveness,
            reauth_at=settings.reauth_at,
            pci_timing=replace(PCI_TIMING, initial=crowd.timeout),
            request_timing=request_timing,
            auth_timeout=crowd.patience,
        )
        return Pac((settings.paa, PORT), self._make_eap(), config, rng=self._host.rng)

    def _make_eap(self) -> EapPeer:
        self._eap = self._new_eap()
        return self._eap

    def start(self) -> None:
        """Send the first PANA-Client-Initiation."""
        self._retry.begun()
        self._endpoint.call(self._pac.start, self._host.now())

    def begin_anew(self) -> None:
        """Begin another session, from the start, where the wish for a home agent is told.

        A session that is there is left to the PAA, which lets this host pass until another is up.
        """
        if not self._wanted:
            return
        self._endpoint.close()
        self._pac = self._make_pac()
        try:
            local = str(self.care_of), 0
            self._endpoint = self._host.datagrams(self._pac, local, self._handle)
        except OSError as error:
            self._fail(f"{self.care_of}: {error.strerror}")
            return
        self.start()

    def ping(self) -> bool:
        """Test that the PAA still has the session; return whether that is possible now."""
        return self._endpoint.call(self._pac.ping, self._host.now())

    def reauthenticate(self) -> bool:
        """Run EAP again; return whether that is possible now."""
        return self._endpoint.call(self._pac.reauthenticate, self._host.now())

    @property
    def authenticates(self) -> bool:
        """Whether an authentication is under way, or will be after a pause."""
        settled = PacState.OPEN, PacState.WAIT_PNA_PING, PacState.WAIT_PUA
        return self._wanted and self._pac.state not in settled

    def terminate(self) -> bool:
        """Log out, and stay so; return whether there is a session to leave.

        One that authenticates, or asks for a sign of life, is left when that is over.
        """
        self._wanted = False
        return self._leave() or self._pac.state not in (PacState.CLOSED, PacState.SESS_TERM)

    def _leave(self) -> bool:
        return self._endpoint.call(self._pac.terminate, self._host.now())

    def move(self, care_of: IPv6Address) -> bool:
        """Go on from another address, and tell the PAA; return whether there is a session to move.

        Who waits for a sign of life tells it afterwards.
        """
        try:
            self._endpoint.rebind(partial(self._host.open_datagrams, (str(care_of), 0)))
        except OSError as error:
            self._log.write("AccessFailed", reason=f"{care_of}: {error.strerror}")
            return False
        self.care_of = care_of
        return self._update() or self._pac.state is PacState.WAIT_PNA_PING

    @property
    def paa(self) -> str:
        """The PAA's address."""
        return self._settings.paa

    def change(self, paa: str, care_of: IPv6Address) -> None:
        """Begin at another access network's PAA, from an address there.

        The session with the one before is left to end: its PAA is not to be reached from here.
        """
        self._settings = msgspec.structs.replace(self._settings, paa=paa)
        self.care_of = care_of
        self._retry.close()
        self._retry = Retry(self._host, self.begin_anew, self._crowd)
        self.begin_anew()

    def _update(self) -> bool:
        return self._endpoint.call(self._pac.update, self._host.now())

    def _handle(self, event: Event) -> None:
        self._log(event)
        match event:
            case events.Updated() | events.PingAnswered() | events.Authenticated() if (
                not self._wanted
            ):
                self._leave()
            case events.PingAnswered() if self._known_at != self.care_of:
                self._update()
            case events.Updated():
                self._confirm_address()
            case events.Authenticated() if self._eap.keys:
                self._on_granted(Granted(event.assignment, event.sealed, self._eap.keys))
                self._confirm_address()
            case events.Terminated():
                self._retry.later()
            case events.AssignmentForetold() if self._on_foretold and self._eap.early_keys:
                self._on_foretold(event.sealed, self._eap.early_keys)
            case events.Rejected():
                self._fail(event.reason, refused=self._eap.refused)
            case events.Failed():
                self._fail(event.reason)
            case _:
                pass

    def _fail(self, reason: str, *, refused: bool = False) -> None:
        self._attempts.fail("pana", f"PANA: {reason}")
        self._retry.later(refused=refused)
        if self.on_failed:
            self._host.later(self.on_failed)

    def _confirm_address(self) -> None:
        """Tell the owner that the PAA knows this host's address."""
        self._known_at = self.care_of
        if self.on_confirmed:
            self.on_confirmed()

    def close(self) -> None:
        """Close the socket."""
        self._retry.close()
        self._endpoint.close()
