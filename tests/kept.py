"""A plugin of pytest for `mip6lab interop`: what becomes of a test, as a JSON line, and its folder.

With --kept FOLDER each test has a folder there: `log.txt`, what its programs wrote to their logs,
and a capture of each host that there is when it begins. What was captured on the loopback
interface of the lab itself is in lab.pcapng. `run` leads to the folder of the run that a test has
recorded as its property of that name.
"""

from __future__ import annotations

import json
import os
import re
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from testbed.run.capture import packet_socket, receive
from testbed.trace import pcapng

LAB = "lab"
LOOPBACK = "lo"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kept", type=Path, required=True, help="where the tests' folders are")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Keeper(config))


def kept_of(root: Path, nodeid: str) -> Path:
    """Return the folder of a test."""
    module, _, name = nodeid.partition("::")
    folder = Path(*Path(module).with_suffix("").parts[-2:])  # As lab/test_roles.
    return root / folder / re.sub(r"[^\w.=@%,\[\]-]+", "-", name)


def hosts() -> dict[str, Callable[[Callable[[], object]], object]]:
    """Return the hosts that there are, and how to do something inside each."""
    namespaces = sys.modules.get("tests.lab.namespaces")
    found = {host.name: host.inside for host in namespaces.Host.alive} if namespaces else {}
    return {**found, LAB: lambda work: work()}


class Tap:
    """What goes over all interfaces of a host."""

    def __init__(self, inside: Callable[[Callable[[], object]], object]) -> None:
        self._inside = inside
        self.names, self._sockets = inside(self._open)

    @staticmethod
    def _open() -> tuple[list[str], list[socket.socket]]:
        names = [name for _, name in socket.if_nameindex()]
        return names, [packet_socket(name) for name in names]

    def write(self, path: Path) -> None:
        """End it; write what it has heard, if anything."""
        packets = []
        for index, opened in enumerate(self._sockets):
            while found := receive(opened):
                time_ns, leaves, data = found
                if not (leaves and self.names[index] == LOOPBACK):  # It is heard as it comes, too.
                    packets.append(pcapng.Packet(time_ns, index, data))
            opened.close()
        if packets:
            pcapng.write(path, self.names, sorted(packets, key=lambda packet: packet.time_ns))


def log_files(item: pytest.Function) -> list[Path]:
    """Return the logs in the folders of a test: its own, and those that its fixtures tell."""
    folders = {item.funcargs.get("tmp_path")}
    folders |= {getattr(value, "folder", None) for value in item.funcargs.values()}
    found = [folder for folder in folders if isinstance(folder, Path)]
    return sorted({path for folder in found for path in folder.rglob("*.log")})


@contextmanager
def keeping(item: pytest.Function, folder: Path) -> Iterator[None]:
    """Keep what is captured, and what is added to logs, while a test is carried out."""
    folder.mkdir(parents=True, exist_ok=True)
    taps = {name: Tap(inside) for name, inside in hosts().items()}
    before = {path: path.stat().st_size for path in log_files(item)}
    try:
        yield
    finally:
        for name, tap in taps.items():
            tap.write(folder / f"{name}.pcapng")
        for path in log_files(item):
            if added := path.read_bytes()[before.get(path, 0) :]:
                (folder / path.name).write_bytes(added)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Function) -> Iterator[None]:
    with keeping(item, kept_of(item.config.getoption("--kept"), item.nodeid)):
        return (yield)


def reason(report: pytest.TestReport) -> str:
    """Return why a test failed or was skipped."""
    if report.skipped:
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    said = crash.message if crash else report.longreprtext
    return said.partition("\nE ")[2] or said


class Keeper:
    """Tells what became of each test."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._reports: list[pytest.TestReport] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._reports.append(report)
        if report.when == "teardown":
            reports, self._reports = self._reports, []
            self._tell(reports)

    def _tell(self, reports: list[pytest.TestReport]) -> None:
        worst = min(
            reports, key=lambda report: ("failed", "skipped", "passed").index(report.outcome)
        )
        folder = kept_of(self._config.getoption("--kept"), worst.nodeid)
        folder.mkdir(parents=True, exist_ok=True)
        said = [text for r in reports for _, text in (("", r.longreprtext), *r.sections) if text]
        (folder / "log.txt").write_text("\n".join(said) or "nothing was said\n")
        if run := dict(reports[-1].user_properties).get("run"):
            (folder / "run").symlink_to(os.path.relpath(run, folder))
        line = {
            "test": worst.nodeid,
            "outcome": worst.outcome,
            "reason": "" if worst.passed else reason(worst),
            "seconds": round(sum(report.duration for report in reports), 3),
            "folder": str(folder),
        }
        reporter = self._config.pluginmanager.getplugin("terminalreporter")
        reporter.write_line(f"\n{json.dumps(line)}")  # The line before ends with a dot.
