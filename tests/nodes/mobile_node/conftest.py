"""Fixtures of the mobile node's tests."""

from __future__ import annotations

import pytest

from tests.eap.conversation import Authority


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.make(tmp_path_factory.mktemp("p256"))
