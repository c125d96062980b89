"""What an option in ancillary data says of where a Mobility Header came from."""

from ipaddress import IPv6Address

import pytest

from agents.shell.sockets import carrier

CARE_OF = IPv6Address("2001:db8:a::2")
OPTION = bytes((201, 16)) + CARE_OF.packed


@pytest.mark.parametrize("before", [b"", b"\0", b"\1\2\0\0", b"\1\0"])
def test_the_address_in_a_home_address_option_is_found(before):
    assert carrier(bytes((135, 2)) + before + OPTION) == CARE_OF


@pytest.mark.parametrize(
    "options", [b"", b"\x87\0", b"\x87\0\1\4\0\0\0\0", OPTION[:-1], b"\x87\0\xc9"]
)
def test_without_one_there_is_none(options):
    assert carrier(options) is None


def test_one_of_another_length_is_none():
    assert carrier(bytes((135, 0, 201, 4)) + bytes(4)) is None
