"""The program of a host that attacks others, with a packet socket on its link.

It sends to hosts of a laboratory alone, over one interface.
"""

from __future__ import annotations

import asyncio
import errno
import random
import socket
from contextlib import closing, suppress
from ipaddress import IPv6Address

from scapy.layers.l2 import Ether

from agents.core.eventlog import EventLog, RoleEvent
from agents.ike.esp import EspPair
from agents.kernel.mobile_node import LinuxMobileNode
from agents.nodes.attacker.attack import Attack, Frames, StreamAttack
from agents.nodes.attacker.settings import AttackerConfiguration
from agents.nodes.attacker.subscriber import Registered
from agents.nodes.attacker.table import ATTACKS
from agents.nodes.keylog import KeyLog
from agents.nodes.mobile_node.main import credentials, find_care_of, make_node
from agents.nodes.mobile_node.settings import MobileNodeConfiguration
from agents.nodes.retry import Attempts
from agents.shell.host import LinuxHost
from agents.shell.output import OUTPUT
from agents.shell.program import run, take_commands
from agents.shell.sockets import hearing_all

_ETH_P_ALL, _OUTGOING, _MAX_FRAME = 3, 4, 1 << 16
_BATCH = 64
_TICK = 0.1
_BUSY = (errno.ENOBUFS, errno.EAGAIN)


class _Kernel(LinuxMobileNode):
    """A mobile node's kernel that remembers the keys of the SAs that IKE has made."""

    def __init__(self) -> None:
        super().__init__()
        self.pairs: list[EspPair] = []

    def install(self, pair: EspPair) -> None:
        """Install an SA."""
        self.pairs.append(pair)
        super().install(pair)


class _Log(EventLog):
    """Tells when the attacker's own bootstrap is over."""

    def __init__(self, host: str, registered: asyncio.Future[IPv6Address]) -> None:
        super().__init__(host, "role", OUTPUT)
        self._registered = registered

    def write(self, event: RoleEvent, **fields: object) -> None:
        """Log an event."""
        super().write(event, **fields)
        if event == "Bootstrapped" and not self._registered.done():
            self._registered.set_result(IPv6Address(str(fields["home_address"])))


async def bootstrap(configuration: MobileNodeConfiguration) -> tuple[IPv6Address, EspPair]:
    """Bootstrap as an honest mobile node does; return its home address and the keys of its SA."""
    registered: asyncio.Future[IPv6Address] = asyncio.get_running_loop().create_future()
    log, kernel = _Log(configuration.host, registered), _Kernel()
    attempts = Attempts(log)
    care_of = await find_care_of(configuration, log, attempts)
    host, trusted = LinuxHost(), credentials(configuration)
    node = make_node(configuration, host, care_of, log, attempts, KeyLog(None), trusted, kernel)
    node.start()
    return await registered, kernel.pairs[-1]


class Attacker:
    """Gives an attack its link and the time, and tells how it ended."""

    def __init__(self, configuration: AttackerConfiguration, log: EventLog) -> None:
        self._name, self._log = configuration.attack, log
        kind = ATTACKS[configuration.attack]
        self._attack: Attack = kind(configuration.known, random.SystemRandom())
        self._own = configuration.known.own.mac
        self._loop = asyncio.get_running_loop()
        self._sent = 0
        self._subscriber = configuration.subscriber
        self._task: asyncio.Task[None] | None = None
        self._socket = hearing_all(configuration.interface, socket.SOCK_RAW, _ETH_P_ALL)
        self._loop.add_reader(self._socket, self._readable)

    def _readable(self) -> None:
        for _ in range(_BATCH):
            try:
                data, (_, _, direction, *_) = self._socket.recvfrom(_MAX_FRAME)
            except BlockingIOError:
                return
            if direction == _OUTGOING:
                continue
            frame = Ether(data)
            if frame.src != self._own:
                self._send(self._attack.heard(frame, self._loop.time()))

    def _send(self, frames: Frames) -> None:
        for frame in frames:
            try:
                self._socket.send(frame)
                self._sent += 1
            except OSError as error:
                if error.errno not in _BUSY:
                    raise

    def attack(self) -> bool:
        """Begin, unless it has begun; the end is told when the victims' time is over."""
        if self._task and not self._task.done():
            return False
        self._task = asyncio.ensure_future(self._carry_out())
        return True

    async def _carry_out(self) -> None:
        attack = self._attack
        if isinstance(attack, Registered) and self._subscriber and not attack.is_registered:
            attack.registered(*await bootstrap(self._subscriber))
        if isinstance(attack, StreamAttack):
            await self._connect(attack)
        else:
            self._send(attack.attack(self._loop.time()))
            await asyncio.sleep(attack.patience)
        attack.judge()
        self._tell()

    async def _connect(self, attack: StreamAttack) -> None:
        """Open a connection, say what there is to say, and hear what comes until it is closed."""
        known, heard = attack.known, b""
        try:
            async with asyncio.timeout(attack.patience):
                reader, writer = await asyncio.open_connection(
                    known.core_address, attack.port, local_addr=(known.own.address, 0)
                )
                with closing(writer):
                    writer.write(attack.opening())
                    while data := await reader.read(_MAX_FRAME):
                        heard += data
        except (OSError, TimeoutError) as error:
            attack.told = f"no answer: {error or 'it says nothing'}"
        attack.answered(heard)

    def _tell(self) -> None:
        if won := self._attack.won:
            self._log.write("Breached", attack=self._name, outcome=won, frames=self._sent)
        else:
            told = self._attack.told
            self._log.write("Repelled", attack=self._name, outcome=told, frames=self._sent)

    async def serve(self, stop: asyncio.Event) -> None:
        """Hear and send until `stop` is set."""
        self._send(self._attack.begin(self._loop.time()))
        take_commands({"attack": self.attack}, self._log)
        told = False
        while not stop.is_set():
            self._send(self._attack.tick(self._loop.time()))
            if self._attack.ready and not told:
                self._log.write("Ready")
                told = True
            with suppress(TimeoutError):
                async with asyncio.timeout(_TICK):
                    await stop.wait()

    def close(self) -> None:
        """Give up, and close the socket."""
        if self._task:
            self._task.cancel()
        self._loop.remove_reader(self._socket)
        self._socket.close()


async def serve(configuration: AttackerConfiguration, stop: asyncio.Event) -> None:
    """Run the attacker until `stop` is set."""
    attacker = Attacker(configuration, EventLog(configuration.host, "attacker", OUTPUT))
    try:
        await attacker.serve(stop)
    finally:
        attacker.close()


def main() -> None:
    """Run the program."""
    run("agents.nodes.attacker.main", AttackerConfiguration, serve)


if __name__ == "__main__":
    main()
