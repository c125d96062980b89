"""EAP-TLS between two hosts, carried by RADIUS: peers and servers of hostap, and ours."""

from __future__ import annotations

import shutil
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

from agents.eap.ca import Credentials, create
from testbed.run.net import Network, network
from tests.lab.namespaces import DEADLINE, wait_until
from tests.lab.peers.cable import AGENT, AGENT_ADDRESS, NODE, NODE_ADDRESS, TOPOLOGY, Ours, capture
from tests.lab.peers.eap_program import IDENTITY, SERVER
from tests.lab.peers.timing import authentications

PORT, SECRET = 1812, "testing123"
_REST = 0.2  # Seconds before each authentication of our peer.


def _program(name: str) -> str:
    found = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
    assert found, f"{name} is not installed"
    return found


def _is_served(net: Network) -> bool:
    with net.inside(AGENT):
        return f":{PORT:04X} " in Path("/proc/thread-self/net/udp6").read_text()


def _start_hostapd(net: Network, folder: Path, credentials: Credentials, stack: ExitStack) -> None:
    (folder / "users").write_text("* TLS\n")
    (folder / "clients").write_text(f"{NODE_ADDRESS}/128 {SECRET}\n")
    config = folder / "hostapd.conf"
    config.write_text(
        "driver=none\ninterface=lo\neap_server=1\nfragment_size=1000\n"
        f"eap_user_file={folder}/users\nca_cert={credentials.ca}\n"
        f"server_cert={credentials.server.certificate}\nprivate_key={credentials.server.key}\n"
        f"radius_server_clients={folder}/clients\nradius_server_auth_port={PORT}\n"
        "radius_server_ipv6=1\ntls_flags=[ENABLE-TLSv1.3]\n"
    )
    null = subprocess.DEVNULL
    process = net.start(AGENT, [_program("hostapd"), str(config)], stdout=null, stderr=null)
    stack.callback(process.wait)
    stack.callback(process.kill)
    wait_until(lambda: _is_served(net), "hostapd serves")


def _run_eapol_test(net: Network, folder: Path, credentials: Credentials, number: int) -> None:
    files = credentials.clients[IDENTITY]
    config = folder / "eapol_test.conf"
    config.write_text(
        f'network={{\nkey_mgmt=IEEE8021X\neap=TLS\nidentity="{IDENTITY}"\n'
        f'ca_cert="{credentials.ca}"\ndomain_match="{SERVER}"\n'
        f'client_cert="{files.certificate}"\nprivate_key="{files.key}"\nfragment_size=1000\n'
        'phase1="tls_disable_tlsv1_3=0"\n}\n'
    )
    command = [_program("eapol_test"), "-c", str(config), "-a", AGENT_ADDRESS, "-p", str(PORT)]
    command += ["-s", SECRET, "-A", NODE_ADDRESS, "-r", str(number - 1), "-t", str(int(DEADLINE))]
    null = subprocess.DEVNULL
    process = net.start(NODE, command, stdout=null, stderr=null)
    assert process.wait(DEADLINE) == 0, "eapol_test failed"


def session(peer: str, server: str, number: int, folder: Path) -> list[float]:
    """Return what authentications took, one after the other; the ends are "hostap" or "ours"."""
    credentials = create(folder / "certificates", [IDENTITY])
    spec = {"server": AGENT_ADDRESS, "port": PORT, "credentials": str(folder / "certificates")}
    ours = {}
    if server == "ours":
        ours[AGENT] = {"host": AGENT, "serves": True, **spec}
    if peer == "ours":
        ours[NODE] = {"host": NODE, "serves": False, **spec}
    with ExitStack() as stack:
        net = stack.enter_context(network(TOPOLOGY))
        programs = Ours(net, folder, "tests.lab.peers.eap_program", ours)
        stack.callback(programs.close)
        if server != "ours":
            _start_hostapd(net, folder, credentials, stack)

        def once() -> None:
            time.sleep(_REST)
            programs.command(NODE, "authenticate")
            programs.wait_for("Authenticated", [NODE])

        def all_at_once() -> None:
            _run_eapol_test(net, folder, credentials, number)

        work = [once] * number if peer == "ours" else [all_at_once]
        found = authentications(capture(net, folder, work), PORT)
    assert len(found) == number, f"{len(found)} of {number} authentications were captured"
    return found
