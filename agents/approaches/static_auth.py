"""No IPsec: all is preconfigured, and Binding Updates bear their own authentication (RFC 4285)."""

from __future__ import annotations

import secrets
from pathlib import Path

import msgspec

from agents.approaches import Program, preparation
from agents.approaches.cast import HOME_ADDRESS
from agents.approaches.scene import KERNEL_NEEDS, Scene
from agents.approaches.settings import CommonSettings
from agents.mip6.authentication import KEY_LENGTH
from agents.nodes.home_network.settings import PresharedPeer
from agents.nodes.mobile_node.settings import StaticSettings
from topologies.model import Topology

NEEDS = KERNEL_NEEDS
_KEY = "preshared.key"


class Settings(CommonSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """There is no IKE to be set."""


def prepare(folder: Path, settings: Settings, topology: Topology) -> None:
    """Make the certificates, the list of subscribers, and the key that both sides have."""
    preparation.prepare(folder, settings, topology)
    key = folder / _KEY
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(KEY_LENGTH))


def compose(settings: Settings, topology: Topology, shared: Path, run: Path) -> list[Program]:
    """Return the programs of home network and mobile node; the access router only forwards."""
    here = Scene(settings, topology, shared, run)
    key, address = str(shared / _KEY), str(HOME_ADDRESS)
    home_agent = msgspec.structs.replace(here.home_agent_settings(), authentication_option=True)
    peer = PresharedPeer(identity=settings.identity, home_address=address, psk_file=key)
    known = StaticSettings(home_agent=home_agent.address, home_address=address)
    return [
        *here.strangers(),
        *here.correspondents(),
        *here.home_network(home_agent=home_agent, preshared=(peer,)),
        here.mobile_node(discovery=known, psk_file=key, authentication_option=True),
    ]
