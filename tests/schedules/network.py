"""Carries out the faults of a schedule: on links, on programs, and by strangers."""

from functools import partial
from ipaddress import IPv6Address

from agents.core.record import replace
from agents.ike.constants import PORT as IKE_PORT
from agents.kernel.model_port import ModelMobileNode
from agents.kernel.packet import MOBILITY_HEADER, UDP, Packet
from agents.mip6.codec import BindingUpdate, encode
from agents.nodes.ike_daemon.ikev1 import Ikev1Daemon
from agents.nodes.ike_daemon.ikev2 import Ikev2Daemon
from agents.nodes.ike_daemon.ikev2_settings import Ikev2Settings
from agents.nodes.ike_daemon.settings import Ikev1Settings
from agents.nodes.keylog import KeyLog
from agents.pana.dialect import PORT as PANA_PORT
from tests.schedules.scenes import STRANGER, STRANGERS_ADDRESS
from tests.schedules.schedule import BURST, PACKET_FAULTS

_SOON = 1.0
"""Seconds after a burst until its end is looked at; half-open negotiations last longer."""

_ALTERABLE = 256
"""Octets of a datagram of which one bit may be altered."""


def altered(packet, bit):
    """Return a packet with a bit of its payload changed, None if a checksum or ESP tells of it.

    UDP's does not, for whoever alters something on the way puts it right; so may they who alter
    TCP's, but a stream in which octets are wrong is closed by its users anyway.
    """
    if packet.protocol != UDP or packet.esp or not packet.payload:
        return None
    at, mask = divmod(bit % (8 * min(len(packet.payload), _ALTERABLE)), 8)
    octets = bytearray(packet.payload)
    octets[at] ^= 1 << mask
    return replace(packet, payload=bytes(octets))


class Network:
    """The links of a laboratory, with the faults of a schedule from now on until `heal`.

    `watch` is told of every packet and of programs that are killed.
    """

    def __init__(self, laboratory, scene, schedule, watch):
        self._laboratory = laboratory
        self._scene = scene
        self._clock = laboratory.world.clock
        self._watch = watch
        self._rng = laboratory.world.random("strangers")
        self._faults = {}
        for fault in schedule.faults:
            self._faults.setdefault(fault.step, []).append(fault)
        self._cuts = {}
        self._down = {}
        self._impostor = None
        self._first = {}
        self.step = 0
        self.faulty = True
        self.late = 0.0
        """Until when something of a fault is to come: a packet that is late, a look at a burst."""

        for link in laboratory.links.values():
            link.send = partial(self._send, link, link.send)

    def _send(self, link, send, packet, sender, receiver=None):
        self._watch.hear(packet)
        if not self.faulty:
            return send(packet, sender, receiver)
        self._first.setdefault((packet.protocol, packet.destination_port), packet)
        step, fate = self.step, None
        self.step += 1
        for fault in self._faults.get(step, ()):
            if fault.kind in PACKET_FAULTS:
                fate = fault
            else:
                self._clock.at(self._clock.now, partial(self._do, fault))
        if link.name in self._cuts:
            return False
        match fate and fate.kind:
            case None:
                return send(packet, sender, receiver)
            case "drop":
                return False
            case "double":
                self._later(fate.number, send, packet, sender, receiver)
                return send(packet, sender, receiver)
            case "delay":
                self._later(fate.number, send, packet, sender, receiver)
                return True
            case "alter":
                wrong = altered(packet, int(fate.number))
                return wrong is not None and send(wrong, sender, receiver)

    def _later(self, seconds, send, *arguments):
        self._at(self._clock.now + seconds, partial(send, *arguments))

    def _at(self, time, action):
        self.late = max(self.late, time)
        self._clock.at(time, action)

    def _do(self, fault):
        getattr(self, f"_{fault.kind}")(fault)

    # Programs and links

    def _program(self, name):
        return next(p for p in self._laboratory.programs if p.role.name == name)

    def _crash(self, fault):
        program = self._program(fault.what)
        if program.host is None or fault.what in self._down:
            return
        program.kill()
        self._watch.forget(program.role.host)
        self._down[fault.what] = program
        self._clock.at(self._clock.now + fault.number, partial(self._restart, fault.what))

    def _restart(self, name):
        if program := self._down.pop(name, None):
            program.restart()

    def _cut(self, fault):
        self._cuts[fault.what] = fault
        self._clock.at(self._clock.now + fault.number, partial(self._join, fault))

    def _join(self, fault):
        if self._cuts.get(fault.what) is fault:
            del self._cuts[fault.what]

    def _move(self, fault):
        """Have the mobile node on a link, unless it is there."""
        link = self._laboratory.links[fault.what]
        for host, configuration in self._scene.mobile.items():
            interface = self._laboratory.stacks[host].interfaces[configuration.interface]
            if interface.link is not link:
                interface.move(link)

    def _order(self, fault):
        name, command = fault.what.split()
        program = self._program(name)
        if program.host is not None and name not in self._down:
            program.obey(command)

    def heal(self):
        """Let nothing go wrong any more."""
        self.faulty = False
        self._cuts.clear()
        for name in tuple(self._down):
            self._restart(name)
        if self._impostor:
            self._impostor.close()

    # Strangers

    def _forge(self, fault):
        """Send a Binding Update in clear for a home address that somebody has."""
        home = self._watch.home_of(fault.what)
        if home is None:
            return
        update = encode(BindingUpdate(int(fault.number), 60, care_of=STRANGERS_ADDRESS))
        for agent in sorted(self._scene.home_agents):
            packet = Packet(
                STRANGERS_ADDRESS, agent, MOBILITY_HEADER, payload=update, home_address=home
            )
            self._laboratory.stacks[STRANGER].send(packet)

    def _impersonate(self, fault):
        """Negotiate with the home agents in the name of a subscriber, without its key."""
        home, laboratory = self._watch.home_of(fault.what), self._laboratory
        if home is None:
            return
        if self._impostor:
            self._impostor.close()
        configuration = self._scene.mobile[fault.what]
        kind, settings = Ikev2Daemon, Ikev2Settings(authentication="psk")
        if configuration.ikev1:
            kind, settings = Ikev1Daemon, Ikev1Settings(mode="aggressive", group="ecp256")
        host = laboratory.new_host(STRANGER, f"impostor{self.step}")
        self._impostor = kind(
            host,
            STRANGERS_ADDRESS,
            settings,
            identity=configuration.eap.identity,
            kernel=ModelMobileNode(laboratory.stacks[STRANGER].kernel),
            keys=KeyLog(),
            log=laboratory.log(STRANGER),
        )
        agent = next(a for a in sorted(self._scene.home_agents) if _on_link(home, a))
        key = self._rng.randbytes(32)
        host.enter(self._impostor.open)
        host.enter(self._impostor.initiate, agent, home, psk=key)

    def _burst(self, fault):
        """Begin as often as that, and complete nothing."""
        port = PANA_PORT if fault.what == "pana" else IKE_PORT
        first = self._first.get((UDP, port))
        if first is None:
            return
        where = STRANGER if fault.what == "ike" else self._scene.intruder
        if where is None:
            return
        stack = self._laboratory.stacks[where]
        source = stack.source_for(first.destination, None)
        check = partial(self._watch.check_memory, self._watch.held())
        self._at(self._clock.now + _SOON, check)
        for number in range(BURST):
            payload = first.payload
            if port == IKE_PORT:
                payload = self._rng.randbytes(8) + payload[8:]
            stack.send(Packet(source, first.destination, UDP, 20000 + number, port, payload))


def _on_link(one: IPv6Address, other: IPv6Address):
    return int(one) >> 64 == int(other) >> 64
