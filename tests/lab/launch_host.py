"""A home agent whose IKE is launched by the script; the only argument is JSON.

Takes the commands "share NAME HOME-ADDRESS PEER KEY" and "forget NAME".
"""

from __future__ import annotations

import asyncio
import json
import sys
from ipaddress import IPv6Address

from agents.core.eventlog import EventLog
from agents.nodes.ike_daemon.settings import Ikev1Settings
from agents.shell.launch import LaunchedIke
from agents.shell.program import take_commands


async def main(work: str, address: str) -> None:
    log = EventLog("C", "host")
    ike = LaunchedIke(work, Ikev1Settings(), "C", IPv6Address(address))

    def share(name: str, home_address: str, peer: str, key: str) -> bool:
        ike.share(name, IPv6Address(home_address), key.encode(), IPv6Address(peer))
        return True

    def forget(name: str) -> bool:
        ike.forget(name)
        return True

    take_commands({"share": share, "forget": forget}, log)
    log.write("Ready")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(**json.loads(sys.argv[1])))
