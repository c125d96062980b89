"""FreeRADIUS as the EAP server: its configuration, and what cannot be with it."""

from __future__ import annotations

from pathlib import Path

import pytest

import topologies
from agents import approaches
from agents.approaches.roles import AaaRoles, IkeRoles, Roles
from agents.core.documents import fit
from agents.daemons.freeradius import (
    EapServerConfiguration,
    freeradius_configuration,
    read_secret,
)
from agents.nodes.radius_settings import RadiusClientSettings
from agents.nodes.tls import TlsSettings

SECRET = "0123456789abcdef"


def configured(**tls: str | None) -> str:
    files = {"ca": "/pki/ca.pem", "certificate": "/pki/server.pem", "key": "/pki/server.key"}
    client = RadiusClientSettings(name="aaa.home.test", address="::1", secret_file="")
    configuration = EapServerConfiguration(
        host="C", address="::1", client=client, tls=TlsSettings(**files, **tls), work="/run1"
    )
    return freeradius_configuration(configuration, SECRET)


def test_it_serves_one_client_who_has_to_sign_what_it_asks():
    text = configured()
    assert f'secret = "{SECRET}"' in text
    assert "require_message_authenticator = yes" in text
    assert text.count("listen {") == text.count("client ") == 1


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_the_version_of_tls_is_the_one_that_is_wanted(version):
    text = configured(version=version)
    for bound in ("min", "max"):
        assert f'tls_{bound}_version = "{version[4:]}"' in text


def test_what_is_withdrawn_is_looked_at_if_there_is_a_crl():
    assert "check_crl = no" in configured()
    assert 'ca_file = "/pki/ca.pem"' in configured()
    assert "check_crl = yes" in configured(crl="/pki/crl.pem")
    assert 'ca_file = "/run1/freeradius-ca.pem"' in configured(crl="/pki/crl.pem")


@pytest.mark.parametrize("secret", ["", "short", 'a secret with " in it', "0123456789abcdef\n"])
def test_a_secret_that_freeradius_could_not_be_told_is_refused(tmp_path, secret):
    file = tmp_path / "secret"
    file.write_text(secret)
    with pytest.raises(ValueError, match="the secret of a RADIUS client has at least 16"):
        read_secret(file)


def programs(approach: str, **settings: object) -> list[str]:
    module = approaches.load(approach)
    plain = {"roles": {"aaa": {"server": "freeradius"}}, **settings}
    composed = module.compose(
        fit(plain, module.Settings), topologies.load("paper"), Path("shared"), Path("run")
    )
    return [program.name for program in composed]


def test_it_starts_before_the_home_aaa_server():
    assert programs("pana-ikev1")[:2] == ["C-freeradius", "C-home_network"]


@pytest.mark.parametrize(
    ("approach", "settings", "reason"),
    [
        ("pana-ikev1", {"psk_source": "emsk"}, "psk_source = 'emsk': another EAP server keeps"),
        ("pana-ikev1", {"protection": "sealed"}, "protection = 'sealed': another EAP server keeps"),
        ("pana-fast", {}, "another EAP server keeps the EMSK"),
    ],
)
def test_what_needs_the_emsk_is_refused(approach, settings, reason):
    with pytest.raises(ValueError, match=reason):
        programs(approach, **settings)


def test_programs_rehearse_with_agents_in_the_roles_of_daemons():
    roles = Roles(
        ike=IkeRoles(initiator="strongswan"), aaa=AaaRoles(protocol="radius", server="freeradius")
    )
    assert set(roles.needs) == {"charon-systemd", "freeradius"}
    assert roles.of_agents == Roles(aaa=AaaRoles(protocol="radius"))
    assert roles.of_agents.needs == ()
