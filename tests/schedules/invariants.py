"""What has to hold at every step, whatever goes wrong; told of by events, kernels and packets.

It looks on from outside: the home AAA server is believed whom it has authenticated, all else is
read in kernels and on links.
"""

from dataclasses import dataclass
from functools import partial
from ipaddress import IPv6Address

from agents.aaa.events import SubscriberAuthenticated, SubscriberVerified
from agents.aaa.home_aaa import LEASE_MARGIN
from agents.core.reader import WireError
from agents.diameter.dictionary import RESULT_CODE
from agents.diameter.errors import ResultCode
from agents.diameter.wire import HEADER_LENGTH, Message
from agents.ike.constants import Role
from agents.ikev1.events import Phase1Established
from agents.ikev2.events import ChildRekeyed, IkeEstablished
from agents.kernel.packet import TCP, UDP
from agents.mip6.binding_cache import BindingCreated, BindingUpdated
from agents.pana import events as pana
from tests.schedules.memory import FOR_ONE_PEER, held
from tests.schedules.scenes import SESSION
from topologies.model import autoconfigured

INVARIANTS = {
    0: "no program breaks",
    1: "no home address is held by two",
    2: "the filter is open for who has authenticated, and for nobody else",
    3: "who has failed is told nothing of home agents",
    4: "no binding is there without a security association of the same subscriber",
    5: "no security association is there without equal keys at both ends, and a name that the "
    "home AAA server vouched for",
    6: "of a peer that has not authenticated only so much is remembered",
    7: "when nothing goes wrong any more, everybody who may is reachable in time",
}

_ANSWERED = frozenset({ResultCode.SUCCESS, ResultCode.MULTI_ROUND_AUTH})
_PUBLIC = frozenset({53, 500})
"""Ports from which a home agent's address may come to anybody: DNS and IKE."""


class ViolationError(Exception):
    """An invariant does not hold; `number` is which."""

    def __init__(self, number, text):
        super().__init__(f"invariant {number} ({INVARIANTS[number]}): {text}")
        self.number = number


@dataclass(frozen=True)
class _Vouched:
    """Whom the home AAA server has let in, and until when at most."""

    identity: str
    until: float


class Watch:
    """Looks on; `check` raises ViolationError, `log` makes the event logs of a laboratory."""

    def __init__(self, scene, tell=None):
        self._scene = scene
        self._tell = tell
        self._lab = None
        self._homes = {}
        """Who may have a home address by the home AAA server's word."""

        self._let_in = {}
        """Who is let in at a care-of address."""

        self._at_paa, self._at_pac = {}, {}
        self._sas = {}
        """Who has ever had an SA, by destination and SPI: host and keys."""

        self._renewed = set()
        """SAs of mobile nodes in the place of others: who answers a rekeying has them first."""

        self._secured = {}
        """Who has had SAs towards a home agent, by its host and the home address."""

        self._dirty = True
        self._octets = tuple(agent.packed for agent in scene.home_agents)
        self._names = {c.eap.identity: host for host, c in scene.mobile.items()}
        self.bootstrapped = set()

    def attach(self, laboratory):
        """Look on at a laboratory."""
        self._lab = laboratory
        stacks = laboratory.stacks
        self._care_of = {
            host: self._addresses(stacks[host].interfaces[c.interface])
            for host, c in self._scene.mobile.items()
        }
        [self._intruder] = self._care_of.get(self._scene.intruder, [None])
        self._filters = [(h, stacks[h].kernel.filter) for h in sorted(self._scene.access_routers)]
        mine = {stacks[host] for host in self._scene.mobile}
        self._agents = [s for s in stacks.values() if s not in mine and not s.name.startswith("CN")]
        self._gates = [None] * len(self._filters)
        self._bound = [{} for _ in self._agents]
        self._nodes = [stacks[host] for host in self._scene.mobile]
        for stack in stacks.values():
            stack.kernel.watch_sas(partial(self._note_sas, stack))
        for identity, home in self._scene.preshared().items():
            self._homes[home] = {identity: float("inf")}

    def _addresses(self, interface):
        """Return the addresses that a mobile node has, or makes itself where it moves to."""
        own = next(a for a in interface.addresses if a.is_link_local)
        links = self._lab.topology.roaming
        prefixes = [end.advertise for link in links for end in link.ends if end.advertise]
        made = {autoconfigured(prefix, own) for prefix in prefixes}
        return made | {a for a in interface.addresses if not a.is_link_local}

    def log(self, laboratory, host):
        """Return the event log of a program."""
        from agents.simulation.fleet import Teller

        return Teller(host, "role", self._take, laboratory.nanoseconds)

    @property
    def _now(self):
        return self._lab.world.clock.now

    def home_of(self, host):
        """Return the home address that a mobile node's subscriber got last, None if it has none."""
        identity = self._scene.mobile[host].eap.identity
        mine = [home for home, owners in self._homes.items() if identity in owners]
        return mine[-1] if mine else None

    def forget(self, host):
        """Take note that what runs on a host was killed: it knows no session."""
        self.bootstrapped.discard(host)
        self._at_pac.pop(host, None)
        for key in [key for key in self._at_paa if key[0] == host]:
            del self._at_paa[key]

    # What is told

    def _take(self, host, agent, name, _, told):
        if self._tell:
            self._tell(self._now, host, agent, name, told)
        match told:
            case SubscriberAuthenticated():
                self._vouch(told, SESSION)
                if told.client and told.client[0].startswith("ar"):
                    until = self._now + SESSION + LEASE_MARGIN
                    self._let_in[told.care_of_address] = _Vouched(told.identity, until)
            case SubscriberVerified():
                self._vouch(told, SESSION)
                self._let_in.setdefault(
                    told.care_of_address, _Vouched(told.identity, self._now + LEASE_MARGIN)
                )
            case BindingCreated() | BindingUpdated():
                self._check_new_binding(host, told)
            case IkeEstablished(role=Role.RESPONDER) | Phase1Established(role=Role.RESPONDER):
                self._check_peer(host, told)
            case ChildRekeyed() if host in self._scene.mobile:
                for sa in (told.pair.inbound, told.pair.outbound):
                    self._renewed.add((sa.destination, sa.spi))
            case pana.Authorised():
                self._at_paa[host, told.session_id] = IPv6Address(told.pac[0])
            case pana.AddressChanged():
                self._at_paa[host, told.session_id] = IPv6Address(told.pac[0])
            case pana.Authenticated():
                if host == self._scene.intruder:
                    raise ViolationError(2, f"{host} is no subscriber and is let in")
                self._at_pac[host] = told.session_id, self._now + told.lifetime
            case pana.AssignmentForetold() if host == self._scene.intruder:
                raise ViolationError(3, f"{host} is no subscriber and has heard of a home agent")
            case pana.Terminated() | pana.Failed() | pana.Rejected() if agent == "pana":
                self._end_session(host, told)
            case _:
                if name == "Bootstrapped":
                    self.bootstrapped.add(host)
                return
        self._dirty = True

    def _end_session(self, host, told):
        if host in self._scene.mobile:
            self._at_pac.pop(host, None)
        else:
            self._at_paa.pop((host, getattr(told, "session_id", None)), None)

    def _vouch(self, told, lifetime):
        """Take note of an assignment; nobody else may have its home address yet."""
        home = told.assignment.home_address if told.assignment else None
        if home is None:
            return
        now, owners = self._now, self._homes.setdefault(home, {})
        for identity, until in owners.items():
            if identity != told.identity and until > now:
                raise ViolationError(
                    1, f"{home} is given to {told.identity} and still {identity}'s"
                )
        self._homes.pop(home)
        self._homes[home] = owners  # The last one.
        owners[told.identity] = max(owners.get(told.identity, 0.0), now + lifetime + LEASE_MARGIN)

    def _note_sas(self, stack):
        """Take note of an SA that is new in a kernel."""
        self._dirty = True
        for sa in stack.kernel.sad:
            had = self._sas.setdefault((sa.destination, sa.spi), {})
            had[stack.name] = (sa.encryption_key, sa.integrity_key)
            for host in had if sa.destination in self._scene.home_agents else ():
                at = next((h for h in had if h not in self._scene.mobile), None)
                self._secured.setdefault((at, sa.source), set()).add(host)

    def _owner(self, home):
        """Return who may have a home address at present, None if nobody may."""
        now = self._now
        return next((i for i, until in self._homes.get(home, {}).items() if until > now), None)

    # What is seen

    def hear(self, packet):
        """Take note of a packet that goes onto a link."""
        octets = packet.payload
        if not octets:
            return
        if packet.protocol == UDP:
            told = packet.destination == self._intruder and packet.source_port not in _PUBLIC
            if told and any(agent in octets for agent in self._octets):
                raise ViolationError(3, f"{packet.destination} is told a home agent: {packet}")
        elif packet.protocol == TCP and any(agent in octets for agent in self._octets):
            self._check_answers(octets)

    def _check_answers(self, octets):
        """Read Diameter's answers, as far as a segment has whole ones."""
        while len(octets) >= HEADER_LENGTH:
            length = int.from_bytes(octets[1:4])
            whole, octets = octets[:length], octets[length:]
            try:
                message = Message.decode(whole)
            except WireError:
                return
            results = [avp.value for avp in message.avps if avp.code == RESULT_CODE.code]
            refused = results and int.from_bytes(results[0]) not in _ANSWERED
            if refused and any(agent in whole for agent in self._octets):
                raise ViolationError(3, f"a refusal by Diameter tells of a home agent: {message}")

    def check(self):
        """Raise ViolationError unless all invariants hold that are to hold at this step."""
        for number, (_, gate) in enumerate(self._filters):
            if (gate.authorised, gate.pinholes) != self._gates[number]:
                self._gates[number] = (set(gate.authorised), set(gate.pinholes))
                self._dirty = True
        for number, stack in enumerate(self._agents):
            if stack.kernel.bound != self._bound[number]:
                self._bound[number] = dict(stack.kernel.bound)
                self._dirty = True
        if self._dirty:
            self._dirty = False
            self._check_filters()
            self._check_homes()
            self._check_bindings()
            self._check_sas()

    def _check_filters(self):
        now = self._now
        for host, gate in self._filters:
            for address in gate.authorised | {near for near, _, _ in gate.pinholes}:
                known = self._let_in.get(address)
                if known is None or known.until < now:
                    raise ViolationError(
                        2, f"{host} is open for {address}, who has not authenticated"
                    )
        for host, (session, until) in self._at_pac.items():
            for router, gate in self._filters:
                address = self._at_paa.get((router, session))
                if (
                    address in self._care_of[host]
                    and until > now
                    and address not in gate.authorised
                ):
                    raise ViolationError(2, f"{router} is closed for {host}, whose session lives")

    def _check_homes(self):
        holders = {}
        for stack in self._nodes:
            home = stack.kernel.home_address
            if home is not None and holders.setdefault(home, stack.name) != stack.name:
                raise ViolationError(1, f"{home} is {holders[home]}'s and {stack.name}'s")

    def _check_bindings(self):
        for stack in self._agents:
            for home, binding in stack.kernel.bound.items():
                owner = self._owner(home)
                if owner is None:
                    raise ViolationError(4, f"{home} is bound at {stack.name} and nobody's")
                if binding.care_of not in self._care_of[self._names[owner]]:
                    raise ViolationError(4, f"{home} of {owner} is bound to {binding.care_of}")

    def _check_new_binding(self, host, told):
        """Whoever registers has had an SA for it with the home agent; it may be gone by now.

        Without IPsec it is the care-of address alone that tells whose update it was.
        """
        home, owner = told.home_address, self._owner(told.home_address)
        if owner and self._scene.mobile[self._names[owner]].authentication_option:
            return
        if owner is None or self._names[owner] not in self._secured.get((host, home), ()):
            raise ViolationError(4, f"{home} of {owner} is registered without an SA of {owner}'s")

    def _check_peer(self, host, told):
        """A home agent's peer is who it says, and where.

        In IKEv1's main mode with keys by address it says no more than that.
        """
        if host in self._scene.mobile:
            return
        whose = next((h for h, known in self._care_of.items() if told.peer in known), None)
        named = self._names.get(told.identity, whose if told.identity == str(told.peer) else None)
        if whose is None or whose != named or whose == self._scene.intruder:
            raise ViolationError(5, f"{told.peer} has an IKE SA with {host} as {told.identity}")

    def _check_sas(self):
        for stack in self._agents:
            for sa in stack.kernel.sad:
                self._check_sa(stack.name, sa)
        for stack in self._nodes:
            for sa in stack.kernel.sad:
                key = sa.destination, sa.spi
                if len(self._sas[key]) < 2 and sa.spi and key not in self._renewed:
                    raise ViolationError(5, f"{stack.name} alone has the SA {sa}")

    def _check_sa(self, here, sa):
        home = sa.source if sa.destination in self._scene.home_agents else sa.destination
        owner = self._owner(home)
        if owner is None:
            raise ViolationError(5, f"{here} has an SA for {home}, which is nobody's")
        had = self._sas[sa.destination, sa.spi]
        others = had.keys() - {here}
        if others - {self._names[owner]}:
            raise ViolationError(5, f"{min(others)} has an SA for {home}, which is {owner}'s")
        if len(set(had.values())) > 1:
            raise ViolationError(5, f"the keys of an SA for {home} differ: {sa}")

    def held(self):
        """Return the octets that all nodes hold that serve mobile nodes."""
        programs = [p for p in self._lab.programs if p.role.host not in self._scene.mobile]
        return held([p.node for p in programs], self)

    def check_memory(self, before):
        """Raise ViolationError if a peer that only begins has made nodes hold much more."""
        more = self.held() - before
        if more > FOR_ONE_PEER:
            raise ViolationError(6, f"{more} octets more are held after what one peer has begun")
