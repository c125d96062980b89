"""A host that waits for a care-of address; its arguments: INTERFACE PEER SECONDS."""

from __future__ import annotations

import asyncio
import sys
from ipaddress import IPv6Address

from agents.core.eventlog import EventLog
from agents.shell.addresses import NoAddressError, care_of_address


async def main(interface: str, peer: str, seconds: str) -> None:
    log = EventLog("A", "role")

    def tell(reason: str) -> None:
        log.write("NoAddressYet", reason=reason)

    towards = IPv6Address(peer) if peer else None
    try:
        address = await care_of_address(interface, float(seconds), towards, tell)
    except NoAddressError as error:
        log.write("NoAddress", reason=str(error))
    else:
        log.write("Address", address=address)


asyncio.run(main(*sys.argv[1:]))
