"""One end of a home registration with static ESP keys: events on standard output, commands in.

Arguments: mn or ha, and options as JSON. Commands are lines; of a mobile node: start, move ADDRESS,
stop; of a home agent, at which HOME_ADDRESS is held for ever: hold ADDRESS LIFETIME, release
ADDRESS, and prefix VALID PREFERRED.
"""

from __future__ import annotations

import asyncio
import json
import sys
from ipaddress import IPv6Address

from agents.core.eventlog import EventLog
from agents.ike.constants import ICMPV6
from agents.ike.esp import Encryption, EspPair, EspSa, Integrity
from agents.kernel.home_agent import LinuxHomeAgent
from agents.kernel.mobile_node import LinuxMobileNode
from agents.mip6.codec import PROTOCOL as MOBILITY_HEADER
from agents.mip6.prefixes import ADVERTISEMENT, SOLICITATION
from agents.nodes.home_agent.service import HomeAgentService
from agents.nodes.home_agent.settings import HomeAgentSettings
from agents.nodes.home_registration.machine import RegistrationService
from agents.shell.host import LinuxHost

HOME_ADDRESS = IPv6Address("2001:db8:100::1234")
HOME_AGENT = IPv6Address("2001:db8:100::1")
TO_AGENT, TO_NODE = 0x1000, 0x2000
ENCRYPTION_KEY, INTEGRITY_KEY = bytes(range(16)), bytes(range(32))


def sa(
    source: IPv6Address,
    destination: IPv6Address,
    spi: int,
    protocol: int = MOBILITY_HEADER,
    message: int | None = None,
) -> EspSa:
    return EspSa(
        source,
        destination,
        spi,
        protocol,
        Encryption.AES_CBC,
        ENCRYPTION_KEY,
        Integrity.HMAC_SHA2_256_128,
        INTEGRITY_KEY,
        3600.0,
        message,
    )


def pair(home_address: IPv6Address = HOME_ADDRESS, *, at_agent: bool) -> EspPair:
    number = int(home_address) - int(HOME_ADDRESS)
    up = sa(home_address, HOME_AGENT, TO_AGENT + number)
    down = sa(HOME_AGENT, home_address, TO_NODE + number)
    return EspPair(up, down) if at_agent else EspPair(down, up)


def discovery_pair(*, at_agent: bool) -> EspPair:
    """Return the SAs of HOME_ADDRESS for prefix discovery."""
    up = sa(HOME_ADDRESS, HOME_AGENT, TO_AGENT + 0x8000, ICMPV6, SOLICITATION)
    down = sa(HOME_AGENT, HOME_ADDRESS, TO_NODE + 0x8000, ICMPV6, ADVERTISEMENT)
    return EspPair(up, down) if at_agent else EspPair(down, up)


async def commands() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


async def home_agent(log: EventLog, *, detect: bool) -> None:
    kernel = LinuxHomeAgent(HOME_AGENT, "home")
    settings = HomeAgentSettings(
        address=str(HOME_AGENT),
        interface="home",
        prefix="2001:db8:100::/64",
        duplicate_address_detection=detect,
    )
    service = HomeAgentService(LinuxHost(), kernel, settings, log)
    service.open()

    def hold(home_address: IPv6Address, lifetime: float | None) -> None:
        if service.hold(str(home_address), home_address, lifetime):
            kernel.install(pair(home_address, at_agent=True))

    hold(HOME_ADDRESS, None)
    kernel.install(discovery_pair(at_agent=True))
    log.write("Ready")
    reader = await commands()
    while line := (await reader.readline()).decode().split():
        match line:
            case ["hold", address, lifetime]:
                hold(IPv6Address(address), float(lifetime))
                log.write("Held")
            case ["release", address]:
                service.release(address)
            case ["prefix", valid, preferred]:
                service.change_prefix(float(valid), float(preferred))
                log.write("Changed")
    service.close()
    kernel.close()
    log.write("Released")


async def mobile_node(
    log: EventLog, *, home_address: str, care_of: str, lifetime: float, routed: bool = False
) -> None:
    home, host = IPv6Address(home_address), LinuxHost()
    kernel = LinuxMobileNode()
    kernel.install(pair(home, at_agent=False))
    kernel.install(discovery_pair(at_agent=False))
    reader = await commands()
    service: RegistrationService | None = None

    def failed(reason: str, *, refused: bool) -> None:
        log.write("AttemptFailed", reason=reason, refused=refused)

    def start() -> RegistrationService:
        return RegistrationService(
            host,
            home_address=home,
            home_agent=HOME_AGENT,
            care_of=IPv6Address(care_of),
            lifetime=lifetime,
            kernel=kernel,
            log=log,
            on_failure=failed,
            on_unanswered=lambda _: None,
            route_optimisation=routed,
        )

    kernel.prepare(home, HOME_AGENT, IPv6Address(care_of))
    log.write("Ready")
    while line := (await reader.readline()).decode().split():
        match line:
            case ["start"]:
                service = start()
            case ["move", address] if service:
                service.move(IPv6Address(address))
            case ["stop"] if service:
                service.deregister()
    if service:
        service.close()
    kernel.clear()
    kernel.close()
    log.write("Released")


if __name__ == "__main__":
    name, options = sys.argv[1], json.loads(sys.argv[2])
    role = mobile_node if name == "mn" else home_agent
    asyncio.run(role(EventLog(name, "mip6"), **options))
