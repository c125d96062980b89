"""What a home agent accounts for: bindings, and what goes through their tunnels (RFC 5778 4.4)."""

from __future__ import annotations

from collections.abc import Hashable
from ipaddress import IPv6Address

from agents.bootstrap.assignment import Assignment
from agents.core.eventlog import EventLog
from agents.core.host import Host
from agents.core.machine import Event
from agents.core.record import replace
from agents.core.usage import Usage
from agents.diameter.dictionary import TerminationCause
from agents.mip6.binding_cache import BindingCreated, BindingRemoved, BindingUpdated
from agents.nodes.aaa_client import AaaClient
from agents.nodes.accounting import Accountant, Charge, Place
from agents.nodes.home_agent.service import HomeAgentService

_CAUSES = {
    "de-registered": TerminationCause.LOGOUT,
    "expired": TerminationCause.SESSION_TIMEOUT,
    "no longer authorised": TerminationCause.AUTH_EXPIRED,
}
"""By the causes of BindingRemoved."""


class BindingAccounting:
    """The accounting of bindings, by their home addresses, from registration to end.

    A Binding Update that prolongs or moves one brings an interim record, as is recommended (section
    4.1), but several within seconds one together, and the first after another authentication the
    next session. Where there is a second binding in what was granted, its records have a Session-Id
    of their own, and that of what was granted in Acct-Multi-Session-Id.
    """

    def __init__(
        self,
        host: Host,
        client: AaaClient,
        home_agent: HomeAgentService,
        log: EventLog,
        *,
        epoch: float,
    ) -> None:
        self._client = client
        self._home_agent = home_agent
        self._begun: dict[str, str] = {}
        """In which session a subscriber was bound last, until it is released."""

        self._charges: dict[str, Charge] = {}
        """How the sessions of subscribers are accounted."""

        self._accountant = Accountant(host, client, self._usage, log, epoch=epoch)
        self.finish = self._accountant.finish
        self.end_all = self._accountant.end_all
        home_agent.on_binding = self._follow
        home_agent.on_released.append(self._release)

    def grant(self, identity: str, charge: Charge) -> None:
        """Know in which session a subscriber is served."""
        self._charges[identity] = charge

    def _release(self, identity: str) -> None:
        self._charges.pop(identity, None)
        self._begun.pop(identity, None)

    def _follow(self, event: Event) -> None:
        match event:
            case BindingCreated(home_address=home, care_of=care_of):
                self._begin(home, care_of, from_nothing=True)
            case BindingUpdated(home_address=home, care_of=care_of):
                self._prolong(home, care_of)
            case BindingRemoved(home_address=home, cause=cause):
                self._accountant.end(home, _CAUSES.get(cause, TerminationCause.ADMINISTRATIVE))

    def _begin(
        self, home: IPv6Address, care_of: IPv6Address, *, from_nothing: bool = False
    ) -> None:
        identity = self._home_agent.homes.holder(home) or ""
        charge = self._charges.get(identity)
        if charge is None:
            return
        granted = charge.session_id
        if self._begun.get(identity) == granted:
            charge = replace(charge, session_id=self._client.new_session(), granted=granted)
        self._begun[identity] = granted
        place = self._place(home, care_of)
        self._accountant.begin(home, charge, place, from_nothing=from_nothing)

    def _prolong(self, home: IPv6Address, care_of: IPv6Address) -> None:
        identity = self._home_agent.homes.holder(home) or ""
        charge = self._charges.get(identity)
        if charge and charge.session_id != self._begun.get(identity):
            self._begin(home, care_of)
            return
        self._accountant.move(home, self._place(home, care_of))
        self._accountant.interim(home)

    def _place(self, home: IPv6Address, care_of: IPv6Address) -> Place:
        own, prefix = self._home_agent.address, self._home_agent.homes.prefix
        return Place(care_of, Assignment(own, prefix.prefixlen, home))

    def _usage(self, home: Hashable) -> Usage | None:
        return self._home_agent.kernel.usage(home) if isinstance(home, IPv6Address) else None
