"""The PANA relay's configuration."""

from __future__ import annotations

from agents.core.configuration import Configuration


class PanaRelayConfiguration(Configuration, frozen=True, kw_only=True):
    """The relay's interface and address where PaCs are, those towards the PAA, and the PAA's."""

    access_interface: str
    access_address: str
    interface: str
    address: str
    paa: str
