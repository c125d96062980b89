"""TLS files and versions in a role's configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec


class TlsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """PEM files, and the TLS version to use; `crl` has what CAs have withdrawn."""

    ca: str
    certificate: str
    key: str
    crl: str | None = None
    version: Literal["TLSv1.2", "TLSv1.3"] = "TLSv1.3"

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of a TlsConfig."""
        return {
            "ca": Path(self.ca),
            "certificate": Path(self.certificate),
            "key": Path(self.key),
            "crl": Path(self.crl) if self.crl else None,
            "minimum_version": self.version.removeprefix("TLSv"),
            "maximum_version": self.version.removeprefix("TLSv"),
        }
