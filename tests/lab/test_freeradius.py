"""Our EAP-TLS peer and FreeRADIUS, which shares no code with it."""

from __future__ import annotations

from pathlib import Path

import pytest
import tomli_w

from agents.eap.peer import EapPeer
from tests.eap.conversation import IDENTITY, Authority
from tests.eap.radius import RadiusClient
from tests.lab.namespaces import Scene
from tests.lab.needs import needs

PORT, SECRET = 1812, "0123456789abcdef0123456789abcdef"

pytestmark = needs("freeradius")


@pytest.fixture
def scene():
    scene = Scene("c")
    yield scene
    scene.close()


def serve(scene: Scene, folder: Path, authority: Authority, version: str, size: int) -> None:
    (folder / "secret").write_text(SECRET)
    settings = {
        "host": "C",
        "address": "::1",
        "client": {"name": "peer", "address": "::1", "secret_file": str(folder / "secret")},
        "tls": {
            "ca": str(authority.ca_path),
            "certificate": str(authority.server.certificate),
            "key": str(authority.server.key),
            "version": f"TLSv{version}",
        },
        "work": str(folder),
        "port": PORT,
        "eap_fragment_size": size,
    }
    path = folder / "freeradius.toml"
    path.write_text(tomli_w.dumps(settings))
    scene.start(scene.hosts[0], "agents.daemons.freeradius", str(path)).wait_for("Ready")


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("key_type", ["p256", "rsa2048"])
@pytest.mark.parametrize("size", [1000, 200])
def test_the_peer_is_authenticated(tmp_path, scene, size, key_type, version):
    authority = Authority.make(tmp_path / "certificates", key_type)
    config = authority.client_config(version, server_names=("aaa.home.test",))
    peer = EapPeer(IDENTITY, config, fragment_size=size)
    serve(scene, tmp_path, authority, version, size)
    radius = RadiusClient(PORT, address="::1", secret=SECRET.encode())

    scene.hosts[0].inside(lambda: radius.run(peer))

    assert peer.outcome == "success", peer.reason
    assert radius.msk == peer.keys.msk
