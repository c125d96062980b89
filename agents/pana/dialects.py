"""The dialects by name."""

from __future__ import annotations

from agents.pana.dialect import Dialect
from agents.pana.draft12 import DRAFT12
from agents.pana.rfc5191 import RFC5191

DIALECTS: dict[str, Dialect] = {"rfc5191": RFC5191, "draft12": DRAFT12}
"""A PAA should make its own Draft12 with its identity, for its sessions' identifiers."""
