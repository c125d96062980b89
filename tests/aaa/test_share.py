"""Two home AAA servers with leases of their own: no home address is two subscribers'."""

from __future__ import annotations

from ipaddress import IPv6Address

import msgspec
import pytest

from agents.aaa.choice import Chooser
from agents.aaa.leases import Leases
from agents.aaa.share import WHOLE, Share
from agents.aaa.subscribers import parse
from agents.bootstrap.assignment import Wish

FILE = """
[[home_agents]]
name = "ha1"
address = "2001:db8:100::1"
prefix = "2001:db8:100::/64"
pool = "2001:db8:100::10-2001:db8:100::1f"
capacity = 5
"""
OVERLAPPING = """
[[subscribers]]
identity = "own@home.test"
pool = "2001:db8:100::13-2001:db8:100::18"
[[subscribers]]
identity = "fixed@home.test"
home_agent = "ha1"
home_address = "2001:db8:100::11"
"""


def subscribers(names, text=FILE):
    anybody = "".join(f'[[subscribers]]\nidentity = "{name}"\n' for name in names)
    return parse(text + OVERLAPPING + anybody)


def assigned(folder, share, names, known):
    """Return what a server with a share gives to subscribers, by their names."""
    known = known.shared(share)
    with Leases(folder / f"{share.number}.sqlite") as leases:
        chooser = Chooser(known, leases, 60.0)
        found = {}
        for name in names:
            choice = chooser.choose(known.find(name), Wish.HOME, None, None, lambda: None)
            found[name] = choice.assignment and choice.assignment.home_address
        leases.commit()
    return found


def test_no_address_is_given_by_both(tmp_path):
    names = [f"mn{n}@home.test" for n in range(8)]
    known = subscribers(names, FILE.replace("capacity = 5", ""))
    both = []
    for number in (1, 2):
        mine = ["own@home.test", *names[number - 1 :: 2]]
        both += assigned(tmp_path, Share(number, 2), mine, known).values()
    assert None not in both
    assert len(set(both)) == len(both) == 10
    assert IPv6Address("2001:db8:100::11") not in both


def test_an_address_of_ones_own_is_given_by_either(tmp_path):
    for number in (1, 2):
        found = assigned(tmp_path, Share(number, 2), ["fixed@home.test"], subscribers([]))
        assert found == {"fixed@home.test": IPv6Address("2001:db8:100::11")}


def test_a_home_agents_room_is_shared_too(tmp_path):
    names = [f"mn{n}@home.test" for n in range(12)]
    for number, room in ((1, 3), (2, 2)):
        given = assigned(tmp_path, Share(number, 2), names, subscribers(names))
        assert sum(address is not None for address in given.values()) == room


def test_a_lease_of_another_share_is_not_gone_on_with(tmp_path):
    name = "mn0@home.test"
    known = subscribers([name])
    alone = assigned(tmp_path, WHOLE, [name], known)[name]
    share = next(Share(n, 2) for n in (1, 2) if not Share(n, 2).owns(alone))
    (tmp_path / "1.sqlite").rename(tmp_path / "old")
    (tmp_path / "old").rename(tmp_path / f"{share.number}.sqlite")
    assert assigned(tmp_path, share, [name], known)[name] != alone


def test_every_address_and_every_place_is_of_one_share():
    shares = [Share(number, 3) for number in (1, 2, 3)]
    for number in range(20):
        address = IPv6Address(number)
        assert [share.owns(address) for share in shares].count(True) == 1
        assert sum(share.room(number) for share in shares) == number
    assert shares[0].room(None) is None


@pytest.mark.parametrize("plain", [{"number": 0, "of": 2}, {"number": 3, "of": 2}, {"number": 1}])
def test_what_is_no_share_is_refused(plain):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(plain, Share)
