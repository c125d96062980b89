"""The home AAA server by RADIUS, alone and with FreeRADIUS behind it, asked by eapol_test."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import tomli_w
from cryptography.hazmat.primitives.serialization import Encoding

from agents.eap.ca import CertificateAuthority, Files
from tests.eap.conversation import Authority
from tests.lab.experiment import NEEDS, carry_out_here
from tests.lab.namespaces import Scene
from tests.lab.needs import needs

ADDRESS = "2001:db8:c::2"
IDENTITY, REVOKED, STRANGER = "mn@home.test", "revoked@home.test", "stranger@home.test"
SUBSCRIBERS = {
    "home_agents": [{"name": "ha1", "address": "2001:db8:100::1", "prefix": "2001:db8:100::/64"}],
    "subscribers": [
        {"identity": name, "home_agent": "ha1", "home_address": f"2001:db8:100::{number}"}
        for number, name in ((1234, IDENTITY), (1235, REVOKED))
    ],
}
HOME_AGENT = "0040 20010db8010000000000000000000001"
HOME_ADDRESS = "0040 20010db8010000000000000000001234"
SECRET = "0123456789abcdef0123456789abcdef"

pytestmark = [
    needs("freeradius"),
    pytest.mark.skipif(shutil.which("eapol_test") is None, reason="lacks eapol_test"),
]


class Home:
    """Host C alone, with the home AAA server and, maybe, FreeRADIUS behind it."""

    def __init__(self, folder: Path, authority: Authority, server: str, version: str) -> None:
        self.folder, self.authority = folder, authority
        self.scene = Scene("c")
        (self.host,) = self.scene.hosts
        self.host.run(f"ip -6 addr add {ADDRESS}/128 dev lo")
        (folder / "secret").write_text(SECRET)
        tls = {
            "ca": str(authority.directory / "ca.pem"),
            "certificate": str(authority.server.certificate),
            "key": str(authority.server.key),
            "crl": str(authority.directory / "crl.pem"),
            "version": f"TLSv{version}",
        }
        (folder / "subscribers.toml").write_text(tomli_w.dumps(SUBSCRIBERS))
        client = {"name": "aaa.home.test", "address": "::1", "secret_file": str(folder / "secret")}
        own = {
            "diameter_identity": "aaa.home.test",
            "diameter_realm": "home.test",
            "diameter_address": ADDRESS,
            "diameter_peers": [],
            "subscribers": str(folder / "subscribers.toml"),
            "leases": str(folder / "leases.sqlite"),
            "radius": {"address": ADDRESS, "clients": [client | {"address": ADDRESS}]},
        }
        if server == "freeradius":
            eap = {"address": "::1", "source": "::1", "secret_file": str(folder / "secret")}
            own["eap_server"] = eap
            self._start("agents.daemons.freeradius", {"address": "::1", "client": client}, tls)
        self.home = self._start("agents.nodes.home_network.main", own, tls)

    def _start(self, module: str, settings: dict[str, object], tls: dict[str, str]):
        common = {"host": "C", "tls": tls, "work": str(self.folder)}
        path = self.folder / f"{module}.toml"
        path.write_text(tomli_w.dumps(common | settings))
        program = self.scene.start(self.host, module, str(path))
        program.wait_for("Ready")
        return program

    def ask(self, name: str, claim: str = "", files: Files | None = None) -> str:
        """Have a peer with a certificate in a name authenticate; return what eapol_test says."""
        files = files or self.authority.ca.issue_client(name).write(self.folder, name)
        config = self.folder / "eapol_test.conf"
        config.write_text(
            "network={\n"
            f'key_mgmt=IEEE8021X\neap=TLS\nidentity="{claim or name}"\n'
            f'ca_cert="{self.authority.directory / "ca.pem"}"\n'
            f'client_cert="{files.certificate}"\nprivate_key="{files.key}"\nfragment_size=1000\n'
            'phase1="tls_disable_tlsv1_3=0"\n}\n'
        )
        wants_a_home_agent = "124:x:0000000000000001"
        done = subprocess.run(
            self.host.command(
                *f"eapol_test -c {config} -a {ADDRESS} -s {SECRET} -t 10".split(),
                *("-N", wants_a_home_agent),
            ),
            capture_output=True,
            text=True,
            timeout=40,
            check=False,
        )
        assert (done.returncode == 0) == (done.stdout.splitlines()[-1] == "SUCCESS")
        return done.stdout


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority.make(tmp_path_factory.mktemp("radius"))
    revoked = made.ca.issue_client(REVOKED)
    revoked.write(made.directory, REVOKED)
    crl = made.ca.revoke([revoked.certificate], None)
    (made.directory / "crl.pem").write_bytes(crl.public_bytes(Encoding.PEM))
    return made


Start = Callable[..., Home]


@pytest.fixture
def start(tmp_path: Path, authority: Authority) -> Iterator[Start]:
    made: list[Home] = []

    def begin(server: str, version: str = "1.3") -> Home:
        made.append(Home(tmp_path, authority, server, version))
        return made[-1]

    yield begin
    for home in made:
        home.scene.close()


def hexdump(said: str, what: str) -> str:
    found = re.search(rf"{what}.* - hexdump\(len=\d+\): ([0-9a-f ]+)", said)
    assert found, said[-2000:]
    return found[1].replace(" ", "")


@pytest.mark.parametrize("server", ["agent", "freeradius"])
@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_subscriber_gets_the_key_and_a_home_agent(start, server, version):
    home = start(server, version)

    said = home.ask(IDENTITY)

    assert "MPPE keys OK: 1  mismatch: 0" in said
    keys = hexdump(said, "MS-MPPE-Recv-Key"), hexdump(said, "MS-MPPE-Send-Key")
    assert "".join(keys) == hexdump(said, "EAP-TLS: Derived key")
    accept = said[said.index("code=2 (Access-Accept)") :].replace(" ", "").lower()
    for value in (HOME_AGENT, HOME_ADDRESS):
        assert value.replace(" ", "") in accept
    told = home.home.wait_for("SubscriberAuthenticated")
    assert (told["identity"], told["assignment"]["home_address"]) == (
        IDENTITY,
        "2001:db8:100::1234",
    )


@pytest.mark.parametrize("server", ["agent", "freeradius"])
def test_who_claims_to_be_nobody_is_known_by_the_certificate(start, server):
    home = start(server)

    assert home.ask(IDENTITY, claim="@home.test").endswith("SUCCESS\n")

    assert home.home.wait_for("SubscriberAuthenticated")["identity"] == IDENTITY


@pytest.mark.parametrize("server", ["agent", "freeradius"])
def test_who_is_refused(start, server, authority):
    home = start(server)

    for name, claim in ((STRANGER, ""), (STRANGER, "@home.test"), (STRANGER, IDENTITY)):
        assert home.ask(name, claim).endswith("FAILURE\n")
        home.home.wait_for("SubscriberRejected")
    other = CertificateAuthority.generate().issue_client(IDENTITY).write(home.folder, "other")
    revoked = Files(*(authority.directory / f"{REVOKED}.{end}" for end in ("pem", "key")))
    for name, files in ((IDENTITY, other), (REVOKED, revoked)):
        assert home.ask(name, files=files).endswith("FAILURE\n")
        home.home.wait_for("SubscriberRejected")
    assert home.ask(IDENTITY).endswith("SUCCESS\n")


def test_freeradius_that_is_gone_is_told(start):
    home = start("freeradius")
    home.scene.programs[0].stop()

    assert home.ask(IDENTITY).endswith("FAILURE\n")


EXPERIMENT = """
name = "freeradius"
approach = "pana-ikev1"
topology = "paper"
settings.duplicate_address_detection = false
roles.aaa.server = "freeradius"
[variants.diameter]
[variants.radius]
roles.aaa.protocol = "radius"
"""


@NEEDS
def test_the_whole_bootstrap_with_freeradius_behind_either_protocol(place):
    path = place / "freeradius.toml"
    path.write_text(EXPERIMENT)

    outcome = carry_out_here(path, place)

    assert [run.reason for run in outcome.results.failed] == []
    for run in outcome.results.runs:
        folder = outcome.folder / "runs" / f"{run.run:04}"
        shared = outcome.folder / "shared" / run.variant / "radius" / "aaa.home.test"
        for file in [folder / "events.jsonl", *folder.glob("logs/*"), *folder.glob("*/*/*.log")]:
            assert shared.read_text() not in file.read_text()
