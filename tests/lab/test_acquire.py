"""When the kernel asks for a security association.

mip6lab exec --lab uml -- .venv/bin/pytest tests/lab/test_acquire.py
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.lab.needs import needs

pytestmark = needs("esp6", "mip6", "ip6_tunnel")

NODE = """
import contextlib, json, socket, subprocess
from ipaddress import IPv6Address
from pathlib import Path
from agents.kernel.associations import AcquireWatch
from agents.kernel.mobile_node import LinuxMobileNode

home, agent, care_of = map(IPv6Address, ("2001:db8:100::1234", "2001:db8:100::1", "2001:db8:a::2"))
for command in (
    "link set lo up",
    "link add eth0 type veth peer name eth1",
    "link set eth0 up",
    "link set eth1 up",
    f"address add {care_of}/64 dev eth0 nodad",
    "route add default via 2001:db8:a::1 dev eth0",
    "neighbour add 2001:db8:a::1 lladdr 02:00:00:00:00:01 dev eth0",
):
    subprocess.run(["ip", "-6", *command.split()], check=True)
kernel = LinuxMobileNode()
kernel.prepare(home, agent, care_of)
sender = socket.socket(socket.AF_INET6, socket.SOCK_RAW, 135)
sender.bind((str(home), 0))

def send():
    with contextlib.suppress(OSError):
        sender.sendto(bytes.fromhex("3b010500" "00000001" "c0000069"), (str(agent), 0))

told = []
send()  # Nobody watches: the kernel cannot ask and forgets.
watch = AcquireWatch()
for _ in range(3):
    send()
    told.append([(str(sa.source), str(sa.destination), sa.protocol) for sa in watch.wanted()])
kernel.clear()  # As a successor does.
kernel.prepare(home, agent, care_of)
send()
told.append([(str(sa.source), str(sa.destination), sa.protocol) for sa in watch.wanted()])
errors = dict(map(str.split, Path("/proc/net/xfrm_stat").read_text().splitlines()))
print(json.dumps({"told": told, "sas": len(kernel.sas_between(home, agent)),
                  "errors": int(errors["XfrmOutNoStates"])}))
"""


def test_the_kernel_asks_once_for_each_program_and_sends_nothing_meanwhile():
    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-c", NODE],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    once = [["2001:db8:100::1234", "2001:db8:100::1", 50]]
    assert found["told"] == [once, [], [], once]
    assert found["sas"] == 0
    assert found["errors"] >= 3
