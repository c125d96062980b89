"""Network access by IEEE 802.1X: wpa_supplicant, hostapd as authenticator, our EAP-TLS server."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from agents.eap.server import EapServer
from tests.eap.conversation import Authority
from tests.eap.radius import RadiusServer
from tests.eap.test_interop import VERSIONS, hexdump, program, supplicant
from tests.lab.namespaces import DEADLINE, Host, Scene, wait_until
from tests.lab.needs import needs

pytestmark = needs("veth")


class Cable(Scene):
    """A station and an authenticator on a cable."""

    def __init__(self) -> None:
        super().__init__("station", "switch")
        self.station, self.switch = self.hosts
        self.station.link("s0", self.switch, "p0")


@pytest.fixture
def cable() -> Iterator[Cable]:
    cable = Cable()
    yield cable
    cable.close()


def start(host: Host, command: list[str], log: Path, held: ExitStack) -> None:
    """Start a program that ends with the block."""
    output = held.enter_context(log.open("wb"))
    process = host.popen(command, stdout=output, stderr=subprocess.STDOUT)
    held.callback(process.wait, DEADLINE)
    held.callback(process.terminate)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("key_type", ["p256", "rsa2048"])
def test_wpa_supplicant_is_authenticated(tmp_path, cable, key_type, version):
    programs = [program(name) for name in ("hostapd", "wpa_supplicant")]
    authority = Authority.make(tmp_path / "certificates", key_type)
    config = authority.server_config(version)
    radius = RadiusServer(lambda: EapServer(config))
    (tmp_path / "hostapd.conf").write_text(
        "driver=wired\ninterface=p0\nieee8021x=1\nown_ip_addr=127.0.0.1\n"
        f"auth_server_addr=127.0.0.1\nauth_server_port={radius.port}\n"
        "auth_server_shared_secret=testing123\n"
    )
    (tmp_path / "wpa_supplicant.conf").write_text(
        "ap_scan=0\n" + supplicant(authority.ca_path, authority.client, version)
    )
    log = tmp_path / "wpa_supplicant.log"
    with ExitStack() as held:
        cable.switch.inside(radius.__enter__)
        held.callback(radius.__exit__)
        authenticator = [programs[0], "-dd", str(tmp_path / "hostapd.conf")]
        start(cable.switch, authenticator, tmp_path / "hostapd.log", held)
        station = f"{programs[1]} -dd -K -D wired -i s0 -c {tmp_path / 'wpa_supplicant.conf'}"
        start(cable.station, station.split(), log, held)
        wait_until(
            lambda: "CTRL-EVENT-EAP-SUCCESS" in log.read_text(errors="replace"),
            "wpa_supplicant is authenticated",
        )
    assert radius.error is None
    server = next(s for s in radius.sessions.values() if s.outcome == "success")
    assert hexdump(log.read_text(errors="replace"), "key") == server.keys.msk
