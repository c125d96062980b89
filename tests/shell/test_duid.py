"""Who a host is to DHCPv6 servers."""

from __future__ import annotations

import pytest

from agents.dhcpv6.wire import is_duid
from agents.shell.duid import node_duid


@pytest.fixture
def machines(tmp_path):
    """Return the files with the identifiers of two machines."""
    paths = tmp_path / "one", tmp_path / "other"
    for path, digit in zip(paths, "12", strict=True):
        path.write_text(digit * 32 + "\n")
    return paths


def test_a_host_keeps_its_duid_and_another_machine_has_another(machines):
    one, other = machines
    duid = node_duid("lo", one)
    assert is_duid(duid)
    assert len(duid) == 18
    assert duid[:2] == b"\0\4"
    assert node_duid("lo", one) == duid
    assert node_duid("lo", other) != duid


@pytest.mark.parametrize("content", [None, "", "uninitialized\n"])
def test_a_machine_may_have_no_identifier(tmp_path, content):
    path = tmp_path / "machine-id"
    if content is not None:
        path.write_text(content)
    assert is_duid(node_duid("lo", path))


def test_a_missing_interface_is_an_error():
    with pytest.raises(OSError, match="No such device"):
        node_duid("none")
