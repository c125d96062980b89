"""Runs one `Ikev1` on UDP port 500; events go to stdout as JSON lines, commands come by stdin.

The only argument is JSON; a command is a line `delete` or `quit`.
"""

from __future__ import annotations

import json
import random
import select
import socket
import sys
import time
from ipaddress import IPv6Address

from agents.ikev1 import (
    ChildAbandoned,
    ChildDeleted,
    ChildEstablished,
    ChildKeyed,
    Config,
    IkeProposal,
    Ikev1,
    Mode,
    Selectors,
)
from agents.machine import Event, Timing

MAX_LIFE = 60.0


def describe(event: Event) -> dict[str, object]:
    line: dict[str, object] = {"event": type(event).__name__}
    line["reason"] = getattr(event, "reason", "")
    line["identity"] = getattr(event, "identity", "")
    if isinstance(event, ChildAbandoned | ChildDeleted | ChildEstablished | ChildKeyed):
        line["sas"] = [
            {
                "src": str(sa.source),
                "dst": str(sa.destination),
                "spi": sa.spi,
                "enc": sa.encryption_key.hex(),
                "auth": sa.integrity_key.hex(),
                "integrity": sa.integrity.value[0],
                "bits": sa.integrity.value[1],
                "proto": sa.protocol,
            }
            for sa in (event.pair.inbound, event.pair.outbound)
        ]
    return line


def build(spec: dict) -> Ikev1:
    config = Config(
        mode=Mode(spec.get("mode", "main")),
        identity=spec.get("identity"),
        proposals=tuple(IkeProposal(*p) for p in spec["proposals"]),
        pfs=spec.get("pfs"),
        esp_lifetime=spec.get("esp_lifetime", 3600),
        timing=Timing(initial=0.5, maximum=2.0, count=4),
        negotiation_timeout=8.0,
    )
    machine = Ikev1(rng=random.SystemRandom(), local=IPv6Address(spec["local"]), config=config)
    home_address = spec.get("home_address")
    machine.add_psk(
        spec["psk"].encode(),
        peer=IPv6Address(spec["peer"]) if spec.get("by_address", True) else None,
        identity=spec.get("peer_identity"),
        home_address=IPv6Address(home_address) if home_address else None,
    )
    return machine


def main(spec: dict) -> None:
    machine, peer = build(spec), IPv6Address(spec["peer"])
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.bind((spec["local"], 500))
        sock.setblocking(False)
        end = time.monotonic() + MAX_LIFE
        print(json.dumps({"event": "Ready"}), flush=True)
        if spec.get("selectors"):
            local, remote = (IPv6Address(a) for a in spec["selectors"])
            machine.initiate(peer, Selectors(local, remote), time.monotonic())
        while (now := time.monotonic()) < end:
            while machine.events:
                print(json.dumps(describe(machine.events.popleft())), flush=True)
            while machine.outbox:
                data, address = machine.outbox.popleft()
                sock.sendto(data, address)
            deadline = min(end, machine.next_timeout() or end)
            ready, _, _ = select.select([sock, sys.stdin], [], [], max(0.0, deadline - now))
            if sock in ready:
                data, source = sock.recvfrom(65535)
                machine.handle_message(data, source[:2], time.monotonic())
            if sys.stdin in ready:
                command = sys.stdin.readline().strip()
                if command != "delete":
                    return
                machine.delete(peer, time.monotonic())
            machine.handle_timeout(time.monotonic())


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
