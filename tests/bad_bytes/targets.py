"""All targets by their names."""

from __future__ import annotations

from collections.abc import Callable

from tests.bad_bytes import certificates, decoders, files, machines
from tests.bad_bytes.target import Target

ALL: dict[str, Callable[[], Target]] = decoders.ALL | certificates.ALL | machines.ALL | files.ALL
