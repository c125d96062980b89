"""A mobile node's interface, as movement detection has it: INTERFACE CARE-OF-ADDRESS."""

from __future__ import annotations

import asyncio
import sys
from ipaddress import IPv6Address

from agents.core.eventlog import EventLog
from agents.nodes.mobile_node.movement import Movement
from agents.shell.host import LinuxHost


async def main(interface: str, care_of: str) -> None:
    log = EventLog("A", "role")

    def tell(address: IPv6Address, router: IPv6Address | None) -> None:
        log.write("Link", address=address, router=router)

    movement = Movement(LinuxHost(), interface, IPv6Address(care_of), log=log, on_link=tell)
    log.write("Ready")
    movement.start()
    await asyncio.Event().wait()


asyncio.run(main(*sys.argv[1:]))
