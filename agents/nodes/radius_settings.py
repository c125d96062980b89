"""RADIUS clients and servers in a role's configuration."""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import Annotated

import msgspec

from agents.radius.wire import ACCOUNTING_PORT, PORT

_Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]


class RadiusServerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A server, this host's own address towards it, and the file of the secret with it."""

    address: str
    source: str
    secret_file: str
    port: _Port = PORT
    accounting_port: _Port = ACCOUNTING_PORT

    def __post_init__(self) -> None:
        for address in (self.address, self.source):
            IPv6Address(address)  # Raises ValueError, which names the text.


class RadiusClientSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A client by its address; its name is the NAS's, whatever it calls itself."""

    name: str
    address: str
    secret_file: str

    def __post_init__(self) -> None:
        IPv6Address(self.address)


class RadiusListenerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where RADIUS is served, and for whom."""

    address: str
    clients: tuple[RadiusClientSettings, ...]
    port: _Port = PORT
    accounting_port: _Port = ACCOUNTING_PORT

    def __post_init__(self) -> None:
        IPv6Address(self.address)
        addresses = [IPv6Address(client.address) for client in self.clients]
        twice = next((a for a in addresses if addresses.count(a) > 1), None)
        if twice is not None:
            raise ValueError(f"two RADIUS clients have the address {twice}; each has its own")
