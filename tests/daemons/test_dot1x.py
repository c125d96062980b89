"""hostapd and wpa_supplicant: their configurations, what they say, and what cannot be with them."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.approaches.roles import DOT1X, Roles
from agents.daemons import wpa_supplicant
from agents.daemons.control import ControlError, ControlSocket
from agents.daemons.hostapd import HostapdSettings, hostapd_configuration
from agents.daemons.wpa_supplicant import WpaSupplicant, supplicant_configuration
from agents.nodes.mobile_node.settings import EapSettings
from agents.nodes.mobile_node.supplicant import Said
from agents.nodes.radius_settings import RadiusClientSettings, RadiusListenerSettings
from agents.nodes.tls import TlsSettings
from testbed.experiment.simulable import obstacles
from testbed.experiment.spec import Spec
from tests.daemons.test_roles import composed

BY_DOT1X = {"access": {"protocol": "802.1x"}}
MSK, EMSK, SESSION = bytes(range(64)), bytes(range(64, 128)), b"\x0d" + bytes(32)
TLS = {"ca": "/pki/ca.pem", "certificate": "/pki/mn.pem", "key": "/pki/mn.key"}


STARTED = "CTRL-EVENT-EAP-STARTED EAP authentication started"
SUCCESS = "CTRL-EVENT-EAP-SUCCESS EAP authentication completed successfully"
FAILURE = "CTRL-EVENT-EAP-FAILURE EAP authentication failed"
REFUSAL = "CTRL-EVENT-EAP-TLS-CERT-ERROR reason=1 depth=1 subject='/CN={}' err='self-signed'"
IN = ("EAP state=SUCCESS", "suppPortStatus=Authorized")


def hexdump(name: str, value: bytes) -> str:
    return f"EAP-TLS: Derived {name} - hexdump(len={len(value)}): {value.hex(' ')}"


TOLD = [hexdump("key", MSK), hexdump("EMSK", EMSK), hexdump("Session-Id", SESSION)]
INVENTED = [hexdump("key", b"A" * 64), hexdump("EMSK", b"B" * 64)]
PLANTED = "\n".join(["CTRL-EVENT-EAP-PEER-ALT depth=0 DNS:x", *INVENTED, f"<3>{SUCCESS}"])
"""What is told of a certificate whose subjectAltName is a text of several lines."""

BEGIN = "EAP: EAP entering state INITIALIZE"


def eap(**changes) -> EapSettings:
    usual = {"identity": "mn@home.test", "server_name": "aaa.home.test", "tls": TlsSettings(**TLS)}
    return EapSettings(**(usual | changes))


class Daemon:
    """The other end of a control socket: what wpa_supplicant answers, and its events."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.status = IN
        self.overtaken_by: str | None = None
        self.asked: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._peer: str | None = None
        self._serving = threading.Thread(target=self._serve)
        self._serving.start()

    def _serve(self) -> None:
        while True:
            command, self._peer = self._socket.recvfrom(4096)
            if command == b"END":
                return
            self.asked.append(command.decode())
            if command == b"STATUS":
                if self.overtaken_by:
                    self.tell(self.overtaken_by)
                answer = "\n".join(self.status)
            else:
                answer = "FAIL\n" if command == b"LOGOFF" else "OK\n"
            self._socket.sendto(answer.encode(), self._peer)

    def tell(self, *events: str) -> None:
        for event in events:
            self._socket.sendto(f"<3>{event}".encode(), self._peer)

    @property
    def note(self) -> str:
        return next((c.replace("NOTE ", "NOTE: ") for c in self.asked[::-1] if "NOTE" in c), "")

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.sendto(b"END", self._socket.getsockname())
        self._serving.join()
        self._socket.close()


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path / "A-access")
    yield daemon
    daemon.close()


@pytest.fixture
def control(daemon: Daemon) -> Iterator[ControlSocket]:
    with ControlSocket(daemon.path) as control:
        yield control


def make_wpa(*, exports: bool = True) -> WpaSupplicant:
    kept: list[str] = []
    wpa = WpaSupplicant(lambda method, *arguments: method(*arguments), kept.append, exports=exports)
    wpa.kept, wpa.told = kept, []
    wpa.on_said = lambda said: wpa.told.append((said, wpa.keys, wpa.reason))
    return wpa


@pytest.fixture
def wpa() -> WpaSupplicant:
    return make_wpa()


@pytest.fixture
def running(wpa: WpaSupplicant, control: ControlSocket) -> WpaSupplicant:
    wpa.connect(control)
    return wpa


def happens(wpa: WpaSupplicant, daemon: Daemon, *events: str, lines=(), silent=False) -> None:
    """Have it print lines, tell events, and print the note that it was asked for, if not silent."""

    async def turn() -> None:
        for line in "\n".join(lines).split("\n"):
            assert wpa.hear(line) is None
        daemon.tell(*events)
        wpa.heed()
        if silent:
            async with asyncio.timeout(5.0):
                while not wpa.told:
                    await asyncio.sleep(0.01)
        elif daemon.note:
            assert wpa.hear(daemon.note) is None

    asyncio.run(turn())


def test_hostapd_asks_the_program_that_started_it():
    client = RadiusClientSettings(name="ar.visited.test", address="::1", secret_file="hostapd")
    served = RadiusListenerSettings(address="::1", clients=(client,))
    settings = HostapdSettings("B-access", "ar.visited.test", served, "s" * 32, 2880)
    lines = hostapd_configuration(settings, "/run/hostapd-1").splitlines()
    for line in (
        "driver=wired",
        "interface=B-access",
        "ieee8021x=1",
        "auth_server_addr=::1",
        "auth_server_port=1812",
        "acct_server_port=1813",
        f"auth_server_shared_secret={'s' * 32}",
        "eap_reauth_period=2880",
        "ctrl_interface=/run/hostapd-1",
    ):
        assert line in lines
    assert "s" * 32 not in repr(settings)


@pytest.mark.parametrize(("version", "without"), [("TLSv1.2", 1), ("TLSv1.3", 0)])
def test_wpa_supplicant_knows_whom_to_trust(version, without):
    settings = eap(tls=TlsSettings(**TLS, version=version), fragment_size=200)
    text = supplicant_configuration(settings, "/run/supplicant-1")
    for line in (
        "disabled=1",
        "eap=TLS",
        'identity="mn@home.test"',
        'ca_cert="/pki/ca.pem"',
        'domain_match="aaa.home.test"',
        "fragment_size=200",
        f'phase1="tls_disable_tlsv1_3={without}"',
    ):
        assert line in text.splitlines()


@pytest.mark.parametrize("identity", ['mn"@home.test', "mn@home.test\n"])
def test_what_it_could_not_be_told_is_refused(identity):
    with pytest.raises(ValueError, match="wpa_supplicant cannot be told"):
        supplicant_configuration(eap(identity=identity), "/run/supplicant-1")


def test_keys_are_taken_from_what_it_says_and_are_not_kept(running, daemon):
    happens(running, daemon, STARTED, SUCCESS, lines=[BEGIN, *TOLD])
    [(said, keys, _)] = running.told
    assert said is Said.SUCCEEDED
    assert (keys.msk, keys.emsk, keys.session_id) == (MSK, EMSK, SESSION)
    assert running.keys is None  # They are this authentication's alone.
    assert running.kept == [STARTED, SUCCESS]


def test_a_certificate_that_is_refused_plants_neither_success_nor_keys(running, daemon):
    subject = REFUSAL.format("CTRL-EVENT-EAP-SUCCESS x")
    lines = [BEGIN, f"A-access: {PLANTED}", subject, SUCCESS]
    happens(running, daemon, STARTED, PLANTED, subject, lines=lines)
    assert running.told == []
    assert running.kept == [STARTED, subject]
    happens(running, daemon, FAILURE, lines=["EAP: EAP entering state FAILURE"])
    assert running.told == [(Said.FAILED, None, "self-signed")]
    assert daemon.asked == ["ATTACH"]


def test_what_a_certificate_has_planted_goes_into_no_later_success(running, daemon):
    happens(running, daemon, PLANTED, FAILURE, lines=[BEGIN, PLANTED])
    happens(running, daemon, SUCCESS, lines=[BEGIN, *TOLD])
    assert [said for said, _, _ in running.told] == [Said.FAILED, Said.SUCCEEDED]
    assert running.told[1][1].msk == MSK
    happens(running, daemon, SUCCESS, lines=[PLANTED, BEGIN])
    assert running.told[2][:2] == (Said.FAILED, None)
    assert "does not tell the keys" in running.told[2][2]


def test_a_success_after_which_another_eap_has_begun_counts_no_more(running, daemon):
    happens(running, daemon, SUCCESS, STARTED, PLANTED, lines=[BEGIN, *TOLD, BEGIN, PLANTED])
    daemon.overtaken_by = STARTED
    happens(running, daemon, SUCCESS, lines=[BEGIN, *TOLD])
    daemon.overtaken_by, daemon.status = None, ("EAP state=IDLE", IN[1])
    happens(running, daemon, SUCCESS, lines=[BEGIN, *TOLD])
    daemon.status = (IN[0], "suppPortStatus=Unauthorized")
    happens(running, daemon, SUCCESS, lines=[BEGIN, *TOLD])
    assert running.told == []


def test_keys_that_do_not_come_are_a_failure(running, daemon, monkeypatch):
    monkeypatch.setattr(wpa_supplicant, "_KEYS_DEADLINE", 0.01)
    happens(running, daemon, SUCCESS, lines=[BEGIN, *TOLD, "NOTE: 00"], silent=True)
    [(said, keys, reason)] = running.told
    assert (said, keys) == (Said.FAILED, None)
    assert "does not tell the keys" in reason


def test_who_needs_no_keys_waits_for_none(control, daemon):
    wpa = make_wpa(exports=False)
    wpa.connect(control)
    happens(wpa, daemon, SUCCESS)
    assert wpa.told == [(Said.SUCCEEDED, None, "")]


def test_an_event_is_no_answer_and_is_not_lost(control, daemon):
    daemon.overtaken_by = PLANTED
    assert control.ask("STATUS").splitlines() == [*IN]
    assert control.waiting == (PLANTED,)
    assert [control.event(), control.event()] == [PLANTED, None]
    with pytest.raises(ControlError, match="LOGOFF: FAIL"):
        control.do("LOGOFF")


@pytest.mark.parametrize(
    "line",
    [
        "SSL: session keys - hexdump(len=2): 00 01",
        "     6d 6e 40 68 6f 6d 65 2e 74 65 73 74               mn@home.test",
        "EAP: method data - hexdump_ascii(len=1):",
        "TLS: something that nobody has thought of 00 01",
    ],
)
def test_what_may_have_a_key_is_kept_nowhere(wpa, line):
    assert wpa.hear(line) is None


def test_it_is_asked_for_nothing_before_it_takes_commands(wpa):
    assert not wpa.prepare()
    assert not wpa.log_on()
    assert not wpa.reauthenticate()
    assert not wpa.log_off()


def test_access_is_by_the_role_or_by_the_approach():
    for programs in (
        composed("dhcpv6-ikev2", BY_DOT1X, "dhcpv6"),
        composed("dot1x-dhcpv6-ikev2", {}, "dhcpv6"),
    ):
        assert "B-access_router" not in programs
        assert programs["B-authenticator"].configuration["relay"]["network"] == "home.test"
        mobile_node = programs["A-mobile_node"].configuration
        assert mobile_node["access"] == {"type": "802.1x"}
        assert mobile_node["discovery"]["type"] == "dhcpv6"


@pytest.mark.parametrize(
    ("approach", "settings", "address"),
    [
        ("pana-ikev1", {}, "2001:db8:100::1234"),
        ("pana-ikev2", {"ike": {"authentication": "psk"}}, "2001:db8:100::1234"),
        ("pana-ikev2", {}, None),
    ],
)
def test_where_pana_would_bring_the_home_agent_it_is_preconfigured(approach, settings, address):
    found = composed(approach, BY_DOT1X, **settings)["A-mobile_node"].configuration["discovery"]
    assert found["type"] == "static"
    assert (found["home_agent"], found["home_address"]) == ("2001:db8:100::1", address)


@pytest.mark.parametrize(
    ("approach", "topology", "settings", "said"),
    [
        ("dns-ikev2", "paper", {}, "access is free; leave it out, or use dot1x-dhcpv6-ikev2"),
        ("static", "paper", {}, "access is free"),
        ("pana-fast", "paper", {}, "use another approach"),
        ("pana-ikev1", "routed", {}, "a router is between"),
        ("pana-ikev1", "relayed", {}, "a router is between"),
        ("pana-ikev1", "operator", {}, "many mobile nodes are one program"),
        ("pana-ikev1", "paper", {"protection": "sealed"}, "leave out protection"),
        ("pana-ikev1", "paper", {"accounting": True}, "leave out accounting"),
        ("pana-ikev1", "paper", {"crl": "valid"}, "leave out crl"),
        ("pana-ikev1", "paper", {"rogue": "alter"}, "leave out attack, flood and rogue"),
    ],
)
def test_what_is_panas_alone_is_refused_in_plain_words(approach, topology, settings, said):
    with pytest.raises(ValueError, match=said):
        composed(approach, BY_DOT1X, topology, **settings)


def spec(approach: str, topology: str, roles: dict) -> Spec:
    document = {"name": "x", "approach": approach, "topology": topology, "roles": roles}
    return Spec({**document, "variants": {"x": {}}}, "x.toml")


@pytest.mark.parametrize(
    ("approach", "topology", "roles", "instead"),
    [
        ("pana-ikev1", "paper", BY_DOT1X, "leave out the roles of daemons"),
        ("dot1x-dhcpv6-ikev2", "dhcpv6", {}, "use another approach"),
    ],
)
def test_the_simulator_has_no_such_daemon(approach, topology, roles, instead):
    found = obstacles(spec(approach, topology, roles), lambda _: True)
    assert found == [("x", f"hostapd is a real program: {instead}")]


def test_what_it_needs_is_known_before_anything_starts():
    assert Roles().needs == ()
    assert spec("pana-ikev1", "paper", BY_DOT1X).needs() >= set(DOT1X)
    assert spec("dot1x-dhcpv6-ikev2", "dhcpv6", {}).needs() >= {*DOT1X, "kea-dhcp6"}
    packages = Path("setup/packages-approaches.txt").read_text().split()
    assert {"hostapd", "wpasupplicant"} <= set(packages)
