"""EAP-TLS against the peer and the server of hostap, which share no code with this package."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from agents.eap.ca import CertificateAuthority, Files
from agents.eap.peer import EapPeer
from agents.eap.server import EapServer
from tests.eap.conversation import IDENTITY, SERVER, Authority
from tests.eap.radius import RadiusClient, RadiusServer, free_port
from tests.eap.test_certificates import LONG_AGO

VERSIONS = ("1.2", "1.3")
FIXTURES = ("authority", "rsa_authority")


def program(name: str) -> str:
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def supplicant(ca: Path, client: Files, version: str, size: int = 1000) -> str:
    """Return the network of eapol_test or wpa_supplicant."""
    return (
        "network={\n"
        f'key_mgmt=IEEE8021X\neap=TLS\nidentity="{IDENTITY}"\nca_cert="{ca}"\n'
        f'client_cert="{client.certificate}"\nprivate_key="{client.key}"\nfragment_size={size}\n'
        f'phase1="tls_disable_tlsv1_3={int(version == "1.2")}"\neapol_flags=0\n'
        "}\n"
    )


def eapol_test(
    directory: Path,
    port: int,
    ca: Path,
    client: Files,
    *,
    version: str,
    size: int = 1000,
    groups: str = "",
) -> str:
    config = directory / "eapol_test.conf"
    config.write_text(supplicant(ca, client, version, size))
    result = subprocess.run(
        (
            f"{program('eapol_test')} -c {config} -a 127.0.0.1 -p {port} -s testing123 "
            "-A 127.0.0.1 -t 5"
        ).split(),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        env={**os.environ, **limit_groups(directory, groups)},
    )
    return result.stdout


def limit_groups(directory: Path, groups: str) -> dict[str, str]:
    """Return what a program's environment needs so that its OpenSSL has these groups alone."""
    if not groups:
        return {}
    path = directory / "openssl.cnf"
    path.write_text(
        "openssl_conf=a\n[a]\nssl_conf=b\n[b]\nsystem_default=c\n[c]\nGroups=" + groups + "\n"
    )
    return {"OPENSSL_CONF": str(path)}


def hexdump(output: str, what: str) -> bytes:
    found = re.search(rf"EAP-TLS: Derived {what} - hexdump\(len=\d+\): ([0-9a-f ]+)", output)
    assert found, output[-2000:]
    return bytes.fromhex(found[1])


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("fixture", FIXTURES)
@pytest.mark.parametrize("size", [1000, 200])
def test_the_server_against_eapol_test(request, tmp_path, fixture, version, size):
    program("eapol_test")
    authority: Authority = request.getfixturevalue(fixture)
    config = authority.server_config(version)
    with RadiusServer(lambda: EapServer(config, fragment_size=size)) as radius:
        output = eapol_test(
            tmp_path, radius.port, authority.ca_path, authority.client, version=version, size=size
        )
    assert radius.error is None
    assert output.rstrip().endswith("SUCCESS"), output[-2000:]
    assert "MPPE keys OK: 1" in output
    (server,) = radius.sessions.values()
    assert server.outcome == "success"
    assert server.peer_name == IDENTITY
    assert hexdump(output, "key") == server.keys.msk
    assert hexdump(output, "EMSK") == server.keys.emsk
    assert hexdump(output, "Session-Id") == server.keys.session_id


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("case", "reason"),
    [("expired", "expired on"), ("other", "unknown CA"), ("name", "names x@home.test")],
)
def test_the_server_refuses_eapol_test(authority, tmp_path, version, case, reason):
    program("eapol_test")
    client = {
        "expired": lambda: authority.ca.issue_client(IDENTITY, validity=LONG_AGO),
        "other": lambda: CertificateAuthority.generate("Other").issue_client(IDENTITY),
        "name": lambda: authority.ca.issue_client("x@home.test"),
    }[case]().write(tmp_path, "client")
    config = authority.server_config(version)
    with RadiusServer(lambda: EapServer(config)) as radius:
        output = eapol_test(tmp_path, radius.port, authority.ca_path, client, version=version)
    assert radius.error is None
    assert output.rstrip().endswith("FAILURE")
    (server,) = radius.sessions.values()
    assert server.outcome == "failure"
    assert reason in server.reason
    assert "TLS: Alert" in output or "alert" in output.lower()


def test_eapol_test_refuses_the_server(authority, other_authority, tmp_path):
    program("eapol_test")
    config = authority.server_config()
    with RadiusServer(lambda: EapServer(config)) as radius:
        output = eapol_test(
            tmp_path, radius.port, other_authority.ca_path, authority.client, version="1.3"
        )
    assert output.rstrip().endswith("FAILURE")
    (server,) = radius.sessions.values()
    assert "unknown ca" in server.reason


def on_curve(authority: Authority, directory: Path, curve: ec.EllipticCurve) -> Authority:
    """Return the same CA with keys of the other curve for both ends."""
    keys = [ec.generate_private_key(curve) for _ in range(2)]
    return replace(
        authority,
        server=authority.ca.issue_server(SERVER, key=keys[0]).write(directory, "server"),
        client=authority.ca.issue_client(IDENTITY, key=keys[1]).write(directory, "client"),
    )


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP521R1()], ids=lambda c: c.name)
def test_other_curves_with_eapol_test(authority, tmp_path, version, curve):
    program("eapol_test")
    other = on_curve(authority, tmp_path, curve)
    config = other.server_config(version)
    with RadiusServer(lambda: EapServer(config)) as radius:
        output = eapol_test(tmp_path, radius.port, other.ca_path, other.client, version=version)
    assert output.rstrip().endswith("SUCCESS"), output[-2000:]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("group", ["X25519", "P-384", "P-521"])
def test_eapol_test_with_one_group_alone(rsa_authority, tmp_path, version, group):
    program("eapol_test")
    config = rsa_authority.server_config(version)
    with RadiusServer(lambda: EapServer(config)) as radius:
        output = eapol_test(
            tmp_path,
            radius.port,
            rsa_authority.ca_path,
            rsa_authority.client,
            version=version,
            groups=group,
        )
    assert output.rstrip().endswith("SUCCESS"), output[-2000:]


@contextmanager
def hostapd(
    directory: Path, authority: Authority, version: str, size: int, groups: str = ""
) -> Iterator[int]:
    port = free_port()
    (directory / "users").write_text("* TLS\n")
    (directory / "clients").write_text("127.0.0.1/32 testing123\n")
    config = directory / "hostapd.conf"
    config.write_text(
        "driver=none\ninterface=lo\neap_server=1\n"
        f"eap_user_file={directory}/users\nca_cert={authority.ca_path}\n"
        f"server_cert={authority.server.certificate}\nprivate_key={authority.server.key}\n"
        f"fragment_size={size}\nradius_server_clients={directory}/clients\n"
        f"radius_server_auth_port={port}\n"
        f"tls_flags=[{'ENABLE' if version == '1.3' else 'DISABLE'}-TLSv1.3]\n"
    )
    log = (directory / "hostapd.log").open("wb")
    process = subprocess.Popen(
        [program("hostapd"), "-dd", "-K", str(config)],
        stdout=log,
        stderr=subprocess.STDOUT,
        env={**os.environ, **limit_groups(directory, groups)},
    )
    try:
        yield port
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)
        log.close()


def wait_until_ready(port: int, attempts: int = 50) -> None:
    """Wait until a bound UDP port shows in the kernel's table, for 5 s at most."""
    import time

    for _ in range(attempts):
        if f":{port:04X} " in Path("/proc/net/udp").read_text():
            return
        time.sleep(0.1)
    pytest.fail("hostapd did not open its port within 5 s")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("fixture", FIXTURES)
@pytest.mark.parametrize("size", [1000, 200])
def test_the_peer_against_hostapd(request, tmp_path, fixture, version, size):
    program("hostapd")
    authority: Authority = request.getfixturevalue(fixture)
    config = authority.client_config(version, server_names=("aaa.home.test",))
    peer = EapPeer(IDENTITY, config, fragment_size=size)
    with hostapd(tmp_path, authority, version, size) as port:
        wait_until_ready(port)
        radius = RadiusClient(port)
        radius.run(peer)
    assert peer.outcome == "success", peer.reason
    assert radius.msk == peer.keys.msk
    log = (tmp_path / "hostapd.log").read_text(errors="replace")
    assert peer.keys.msk.hex(" ") in log
    assert peer.keys.session_id.hex(" ") in log  # hostapd does not log the EMSK.


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP521R1()], ids=lambda c: c.name)
def test_other_curves_with_hostapd(authority, tmp_path, version, curve):
    program("hostapd")
    other = on_curve(authority, tmp_path, curve)
    peer = EapPeer(IDENTITY, other.client_config(version))
    with hostapd(tmp_path, other, version, 1000) as port:
        wait_until_ready(port)
        RadiusClient(port).run(peer)
    assert peer.outcome == "success", peer.reason


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("group", ["X25519", "P-384", "P-521"])
def test_hostapd_with_one_group_alone(rsa_authority, tmp_path, version, group):
    program("hostapd")
    peer = EapPeer(IDENTITY, rsa_authority.client_config(version))
    with hostapd(tmp_path, rsa_authority, version, 1000, group) as port:
        wait_until_ready(port)
        RadiusClient(port).run(peer)
    assert peer.outcome == "success", peer.reason


@pytest.mark.parametrize("version", VERSIONS)
def test_hostapd_refuses_the_peer(authority, tmp_path, version):
    program("hostapd")
    files = authority.ca.issue_client(IDENTITY, validity=LONG_AGO).write(tmp_path, "late")
    peer = EapPeer(IDENTITY, authority.client_config(version, files))
    with hostapd(tmp_path, authority, version, 1000) as port:
        wait_until_ready(port)
        RadiusClient(port).run(peer)
    assert peer.outcome == "failure"
    assert peer.reason == "the server refused and gave no reason"  # It sends no alert.
    assert "certificate has expired" in (tmp_path / "hostapd.log").read_text(errors="replace")


@pytest.mark.parametrize("version", VERSIONS)
def test_the_peer_refuses_hostapd(authority, other_authority, tmp_path, version):
    program("hostapd")
    peer = EapPeer(IDENTITY, authority.client_config(version))
    with hostapd(tmp_path, other_authority, version, 1000) as port:
        wait_until_ready(port)
        RadiusClient(port).run(peer)
    assert peer.outcome == "failure"
    assert "unknown CA" in peer.reason
