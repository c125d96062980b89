"""What programs are configured with: its base, reading it, and what may be asked of a program."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias, TypeVar

import msgspec

from agents.core import documents
from agents.core.documents import DocumentError

T = TypeVar("T")

CommandNames: TypeAlias = Mapping[str, tuple[Callable[[str], object], ...]]
"""What a role can be asked while it runs, each with what reads its arguments."""


class Configuration(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The base of all configurations: `host` names the host in the event log."""

    host: str

    @property
    def commands(self) -> CommandNames:
        """What may be asked of the role that is configured like this."""
        return {}


class ConfigurationError(Exception):
    """A configuration that cannot be used; the text names the file and the place in it."""


def load(path: Path, kind: type[T]) -> T:
    """Read a configuration in TOML, or in JSON if the file's name ends so."""
    try:
        return documents.load(path, kind)
    except DocumentError as error:
        raise ConfigurationError(f"{path}: {error}") from None


Commands: TypeAlias = Mapping[str, Callable[..., object]]
"""What may be asked of a role while it runs, by name; a false result says that it cannot be now."""
