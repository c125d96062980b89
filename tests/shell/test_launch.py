"""What the launch scripts make of names from the network, and how one daemon serves many peers."""

from __future__ import annotations

import os
import stat
import sys
import time
from ipaddress import IPv6Address
from pathlib import Path

import pytest

from agents.core.configuration import load
from agents.nodes.home_registration.settings import RegistrationConfiguration
from agents.nodes.ike_daemon.settings import IkeConfiguration, Ikev1Settings, Peer
from agents.shell.launch import LaunchedIke, launch

HA, HOA = IPv6Address("2001:db8:100::1"), IPv6Address("2001:db8:100::1234")
COA = IPv6Address("2001:db8:a::2")
NAMES = [
    "mn@home.test",
    'a"\n[settings]\nmode = "aggressive"\n#',
    "$(touch stolen)`touch stolen`$HOME",
    "a\\b'c\n.\ntouch stolen\n",
    "../../mn\0",
    "-rf *",
]


def wait_until(condition, deadline=10.0):
    end = time.monotonic() + deadline
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


DAEMON = """#!{python} -S
import os, signal
def note(text):
    descriptor = os.open({notes!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, (text + "\\n").encode())
    os.close(descriptor)
signal.signal(signal.SIGHUP, lambda *_: note("reload"))
note(str(os.getpid()))
while True:
    signal.pause()
"""


@pytest.fixture
def daemon(monkeypatch, tmp_path):
    """Put a program in Python's place that notes its process, and each SIGHUP once it listens."""
    program, notes = tmp_path / "daemon", tmp_path / "notes"
    program.write_text(DAEMON.format(python=sys.executable, notes=str(notes)))
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.chdir(tmp_path)
    return lambda: notes.read_text().split() if notes.exists() else []


@pytest.fixture
def ike(tmp_path):
    service = LaunchedIke(str(tmp_path), Ikev1Settings(), "C", HA)
    yield service
    service.close()


def peers(tmp_path):
    """Return the peers that a daemon finds, by identity, with their keys."""
    configuration = load(tmp_path / "home_network" / "ike.toml", IkeConfiguration)
    found = [load(path, Peer) for path in Path(configuration.peers_folder).glob("*.toml")]
    return {peer.identity: (peer.address, peer.home_address, peer.key()) for peer in found}


def test_one_daemon_serves_every_subscriber(ike, daemon, tmp_path):
    ike.share("one", HOA, b"key", COA)
    wait_until(daemon)
    ike.share("two", HOA + 1, b"other key", COA + 1)
    wait_until(lambda: len(daemon()) == 2)
    assert peers(tmp_path) == {
        "one": (str(COA), str(HOA), b"key"),
        "two": (str(COA + 1), str(HOA + 1), b"other key"),
    }
    ike.share("one", HOA, b"next", COA + 2)
    wait_until(lambda: len(daemon()) == 3)
    assert peers(tmp_path)["one"] == (str(COA + 2), str(HOA), b"next")
    ike.forget("one")
    wait_until(lambda: len(daemon()) == 4)
    assert set(peers(tmp_path)) == {"two"}
    assert not [path for path in tmp_path.rglob("*.psk") if path.read_bytes() == b"next"]
    assert daemon()[1:] == ["reload"] * 3


def test_who_comes_while_the_daemon_starts_does_not_end_it(ike, daemon, tmp_path):
    for number in range(20):
        ike.share(f"mn{number}", HOA + number, b"key", COA + number)
    wait_until(daemon)
    os.kill(int(daemon()[0]), 0)
    assert len(peers(tmp_path)) == 20
    assert len([note for note in daemon() if note != "reload"]) == 1


def test_a_daemon_that_has_died_is_started_again(ike, daemon):
    ike.share("one", HOA, b"key", COA)
    wait_until(daemon)
    os.kill(int(daemon()[0]), 15)
    wait_until(lambda: ") Z " in Path(f"/proc/{daemon()[0]}/stat").read_text())
    ike.share("two", HOA + 1, b"other key", COA + 1)
    wait_until(lambda: len(daemon()) == 2)
    assert daemon()[1] != "reload"


def test_the_daemon_ends_with_its_owner(ike, daemon):
    ike.share("one", HOA, b"key", COA)
    wait_until(daemon)
    ike.close()
    assert not Path(f"/proc/{daemon()[0]}").exists()


@pytest.mark.parametrize("name", NAMES)
def test_a_subscribers_name_is_only_a_name(ike, daemon, tmp_path, name):
    ike.share(name, HOA, b"key", COA)
    wait_until(daemon)
    assert set(peers(tmp_path)) == {name}
    configuration = load(tmp_path / "home_network" / "ike.toml", IkeConfiguration)
    assert configuration.settings == Ikev1Settings()
    assert configuration.peers == ()
    assert not (tmp_path / "stolen").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"daemon", "notes", "home_network"}


@pytest.mark.parametrize("name", NAMES)
def test_the_mobile_nodes_own_name_is_only_a_name_too(daemon, tmp_path, name):
    variables = {
        "HOST": name,
        "HOME_AGENT": str(HA),
        "HOME_ADDRESS": str(HOA),
        "CARE_OF_ADDRESS": str(COA),
        "IDENTITY": name,
        "BINDING_LIFETIME": 420.0,
        "KEYS": "",
    }
    launched = launch("mobile_node.sh", str(tmp_path), b"key", Ikev1Settings(), variables)
    wait_until(lambda: len(daemon()) == 2)
    launched.close()
    folder = tmp_path / "mobile_node"
    configuration = load(folder / "ike.toml", IkeConfiguration)
    assert (configuration.host, configuration.identity) == (name, name)
    assert configuration.peers[0].key() == b"key"
    assert load(folder / "home_registration.toml", RegistrationConfiguration).lifetime == 420.0
    assert not (tmp_path / "stolen").exists()


def test_only_the_owner_can_read_a_key(ike, daemon, tmp_path):
    ike.share("one", HOA, b"key", COA)
    wait_until(daemon)
    folder = tmp_path / "home_network"
    for path in (folder, folder / "peers"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    (psk,) = folder.rglob("*.psk")
    assert stat.S_IMODE(psk.stat().st_mode) == 0o600


def test_what_a_killed_predecessor_has_left_is_not_taken_over(daemon, tmp_path):
    left = tmp_path / "home_network" / "peers"
    left.mkdir(parents=True, mode=0o755)
    (left / "yesterday.toml").write_text(f'psk_file = "/dev/null"\nhome_address = "{HOA}"\n')
    ike = LaunchedIke(str(tmp_path), Ikev1Settings(), "C", HA)
    ike.share("one", HOA, b"key", COA)
    wait_until(daemon)
    ike.close()
    assert set(peers(tmp_path)) == {"one"}
    mode = stat.S_IMODE((tmp_path / "home_network").stat().st_mode)
    assert mode == 0o700
    key = tmp_path / "mobile_node" / "psk"
    key.parent.mkdir()
    key.touch(mode=0o666)
    variables = dict.fromkeys(
        ("HOST", "HOME_AGENT", "HOME_ADDRESS", "CARE_OF_ADDRESS", "IDENTITY", "KEYS"), "x"
    )
    variables["BINDING_LIFETIME"] = 1.0
    launch("mobile_node.sh", str(tmp_path), b"key", Ikev1Settings(), variables).close()
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_a_link_in_the_folders_place_is_not_followed(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").touch()
    (tmp_path / "home_network").symlink_to(elsewhere)
    with pytest.raises(OSError, match="symbolic link"):
        LaunchedIke(str(tmp_path), Ikev1Settings(), "C", HA)
    assert (elsewhere / "precious").exists()
