"""All targets by their names."""

from __future__ import annotations

from collections.abc import Callable

from tests.bad_bytes import certificates, decoders, files, machines, nodes
from tests.bad_bytes.target import Target

_PARTS = (decoders, certificates, machines, nodes, files)

ALL: dict[str, Callable[[], Target]] = {
    name: make for part in _PARTS for name, make in part.ALL.items()
}
