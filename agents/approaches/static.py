"""The baseline: home agent, home address and pre-shared key are preconfigured, access is open."""

from __future__ import annotations

import secrets
from pathlib import Path

from agents.approaches import Program, preparation
from agents.approaches.cast import HOME_ADDRESS
from agents.approaches.scene import KERNEL_NEEDS, Scene
from agents.approaches.settings import CommonSettings
from agents.nodes.home_network.settings import PresharedPeer
from agents.nodes.ike_daemon.ikev2_settings import Ikev2PskSettings
from agents.nodes.mobile_node.settings import StaticSettings
from topologies.model import Topology

NEEDS = KERNEL_NEEDS
_KEY = "preshared.key"


class Settings(CommonSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How IKEv2 negotiates."""

    ike: Ikev2PskSettings = Ikev2PskSettings()


def prepare(folder: Path, settings: Settings, topology: Topology) -> None:
    """Make the certificates, the list of subscribers, and the key that both sides have."""
    preparation.prepare(folder, settings, topology)
    key = folder / _KEY
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(32))


def compose(settings: Settings, topology: Topology, shared: Path, run: Path) -> list[Program]:
    """Return the programs of home network and mobile node; the access router only forwards."""
    here = Scene(settings, topology, shared, run)
    home_agent, key = here.home_agent_settings(), str(shared / _KEY)
    address = str(HOME_ADDRESS)
    peer = PresharedPeer(identity=settings.identity, home_address=address, psk_file=key)
    known = StaticSettings(home_agent=home_agent.address, home_address=address)
    return [
        *here.strangers(ikev2=settings.ike),
        *here.correspondents(),
        *here.home_network(home_agent=home_agent, ikev2=settings.ike, preshared=(peer,)),
        here.mobile_node(discovery=known, ikev2=settings.ike, psk_file=key),
    ]
