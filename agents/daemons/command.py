"""A command of one's own in the role of a server: DHCPv6, DNS."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from ipaddress import IPv6Address
from pathlib import Path
from string import Template
from typing import Annotated, TypeAlias

import msgspec

from agents.core.configuration import Configuration
from agents.core.patience import patient
from agents.daemons.daemon import executable, run_daemon, udp_port_bound, wait_for_addresses
from agents.shell.program import run

FileName: TypeAlias = Annotated[
    str,
    msgspec.Meta(
        pattern=r"\A[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}\Z",
        description="the name of a file, without a folder",
    ),
]
_ANY = IPv6Address("::")


class CommandConfiguration(Configuration, frozen=True, kw_only=True):
    """A server by its command; times in seconds.

    Placeholders such as $address in the command and in the texts of its `files` stand for `values`,
    and $work for the folder that the files are written to. It has to stay in the foreground, to end
    at SIGTERM, and serves when it listens on UDP `port`.
    """

    work: str
    command: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    files: dict[FileName, str] = msgspec.field(default_factory=dict)
    values: dict[str, str] = msgspec.field(default_factory=dict)
    address: str
    port: int
    start_deadline: Annotated[float, msgspec.Meta(gt=0, le=86400)] = 30.0

    def __post_init__(self) -> None:
        for text in (*self.command, *self.files.values()):
            _filled(text, self.all_values)

    @property
    def folder(self) -> Path:
        """Where its files are: an own folder, for daemons of several hosts share `work`."""
        return Path(self.work) / f"{self.host}-{Path(self.command[0]).name}"

    @property
    def all_values(self) -> dict[str, str]:
        """What placeholders stand for."""
        return self.values | {"work": str(self.folder)}


def _filled(text: str, values: Mapping[str, str]) -> str:
    """Return a text with its placeholders filled in; ValueError for one that there is not."""
    try:
        return Template(text).substitute(values)
    except KeyError as error:
        known = ", ".join(f"${name}" for name in sorted(values))
        raise ValueError(f"there is no ${error.args[0]} here; use {known}") from None
    except ValueError as error:
        raise ValueError(f"{error}; a dollar sign that is no placeholder is $$") from None


async def serve(configuration: CommandConfiguration, stop: asyncio.Event) -> None:
    """Run the command until `stop` is set."""
    folder, values = configuration.folder, configuration.all_values
    deadline, address = patient(configuration.start_deadline), IPv6Address(configuration.address)
    folder.mkdir(mode=0o700, exist_ok=True)
    for file, text in configuration.files.items():
        (folder / file).write_text(_filled(text, values), encoding="utf-8")
    name, *arguments = (_filled(word, values) for word in configuration.command)
    await wait_for_addresses([address], deadline)
    port = configuration.port
    await run_daemon(
        [executable(name, folder), *arguments],
        folder / "log",
        {
            f"{name} listens on {address}, port {port}": lambda _: any(
                udp_port_bound(one, port) for one in (address, _ANY)
            )
        },
        host=configuration.host,
        deadline=deadline,
        stop=stop,
    )


def main() -> None:
    """Run the program."""
    run("agents.daemons.command", CommandConfiguration, serve)


if __name__ == "__main__":
    main()
