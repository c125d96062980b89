"""The paper's own figures, as paper.toml quotes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from testbed.base.jsonl import DataError
from testbed.base.phases import PHASES, TOTAL

PAPER = Path(__file__).with_name("paper.toml")


class PaperPhase(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A figure of the paper in seconds, and the sentence that gives it."""

    seconds: float
    source: str


class Paper(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The paper's figures; its parts and `unattributed` sum to the `total` that it states."""

    title: str
    section: str
    source: str
    total: float
    unattributed: float
    statistic: str
    phases: dict[str, PaperPhase]
    platform: dict[str, Any]

    @property
    def seconds(self) -> dict[str, float]:
        """The five phases and `total` in seconds."""
        return {name: self.phases[name].seconds for name in PHASES} | {TOTAL: self.total}


def load_paper(path: Path = PAPER) -> Paper:
    """Read the paper's figures; raises DataError."""
    try:
        paper = msgspec.toml.decode(path.read_bytes(), type=Paper)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    except (msgspec.DecodeError, ValueError) as error:
        raise DataError(f"{path}: {error}") from None
    missing = [name for name in PHASES if name not in paper.phases]
    if missing:
        raise DataError(f"{path}: no phase {', '.join(missing)}")
    return paper
