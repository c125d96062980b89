"""Fixtures of the lab tests."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agents.eap.ca import CertificateAuthority
from testbed.base.places import PROJECT

if TYPE_CHECKING:
    from tests.lab.ike import World


@pytest.fixture(scope="module")
def place(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder that hosts can reach: they have a /run, and so a TMPDIR, of their own."""
    if kept := request.config.getoption("--kept", None):
        folder = kept.joinpath(*request.path.with_suffix("").parts[-2:])
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
        return
    root = PROJECT / "results"
    root.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="lab-test-", dir=root) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of certificates of both ends of IKE, a folder for each kind of key."""
    from tests.lab.ike import HA_NAME, MN_NAME

    folder = tmp_path_factory.mktemp("certificates")
    for kind in ("p256", "rsa2048"):
        place = folder / kind
        place.mkdir()
        ca = CertificateAuthority.generate(key_type=kind)
        ca.identity.write(place, "ca")
        ca.issue_client(MN_NAME).write(place, "mn")
        ca.issue_server(HA_NAME).write(place, "ha")
    return folder


@pytest.fixture(scope="module")
def world_of_a_module() -> Iterator[World]:
    from tests.lab.ike import World

    with closing(World()) as world:
        yield world


@pytest.fixture
def world(world_of_a_module: World) -> Iterator[World]:
    """strongSwan and our IKE machine as neighbours."""
    yield world_of_a_module
    world_of_a_module.reset()
