from __future__ import annotations

import pytest

from tests.eap.conversation import Authority
from tests.ikev2.people import People


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("eap"))


@pytest.fixture(scope="session")
def people() -> People:
    return People.make("p256")


@pytest.fixture(scope="session")
def rsa_people() -> People:
    return People.make("rsa2048")
