"""Who understands whom: tests of our agents beside independent implementations, as a table.

Which test shows what of which two is data, in tests/interop.toml; the tests are carried out in a
lab by pytest, with the plugin tests/kept.py.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

import msgspec

from testbed.base import markdown
from testbed.base.files import last_line, replace
from testbed.base.places import PROJECT, UNPACKED
from testbed.lab import Lab, LabError
from testbed.lab.together import Ended, Line, Together

MATRIX = PROJECT / "tests" / "interop.toml"
GREEN, RED, ABSENT = 0, 1, 127
WORDS = {GREEN: "green", RED: "red", ABSENT: "cannot be here"}
COMMAND = "interop"
_HEAD = ("protocol", "begins", "with", "shown", "result")


class Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Two implementations, the left one begins; what is shown of them, and by which test."""

    protocol: str
    left: str
    right: str
    module: str = ""
    shown: dict[str, str] = {}
    absent: str = ""


class Matrix(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All groups, and the package that has each implementation."""

    pairs: list[Group]
    packages: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Pair:
    """One row of the table; `test` stands for all its cases, `absent` is why there is none."""

    protocol: str
    left: str
    right: str
    shown: str
    test: str
    absent: str = ""

    @property
    def title(self) -> str:
        """What the row says before its result."""
        return f"{self.protocol}: {self.left}, {self.right}: {self.shown}"

    def covers(self, test: str) -> bool:
        """Whether a test that was carried out is this pair's."""
        return test == self.test or test.startswith(f"{self.test}[")


class Told(msgspec.Struct, frozen=True):
    """What the plugin tells of a test."""

    test: str
    outcome: str
    reason: str
    seconds: float
    folder: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a pair; `status` is 0, 1, or 127 if it cannot be here."""

    pair: Pair
    status: int
    reason: str = ""
    seconds: float = 0.0
    folders: tuple[str, ...] = ()

    @property
    def result(self) -> str:
        """The last column of the table."""
        return f"{WORDS[self.status]}{self.reason and f': {self.reason}'}"

    def as_json(self) -> dict[str, object]:
        """Return plain data, as `interop --json` prints it."""
        plain = asdict(self)
        return {**plain.pop("pair"), **plain, "result": WORDS[self.status]}


def load() -> Matrix:
    """Read which pairs there are; FileNotFoundError if this installation has no tests."""
    return msgspec.toml.decode(MATRIX.read_bytes(), type=Matrix)


def pairs(matrix: Matrix, words: Sequence[str] = ()) -> list[Pair]:
    """Return the pairs in whose rows all of these words are."""
    found = [
        Pair(group.protocol, group.left, group.right, shown, f"tests/{group.module}::{test}")
        for group in matrix.pairs
        for shown, test in group.shown.items()
    ]
    found += [
        Pair(group.protocol, group.left, group.right, "", "", group.absent)
        for group in matrix.pairs
        if group.absent
    ]
    return [pair for pair in found if all(word.lower() in pair.title.lower() for word in words)]


def versions(packages: Mapping[str, str]) -> dict[str, str]:
    """Return the versions of the implementations that are here: Debian's packages, or Python's."""
    asked = ("dpkg-query", "-W", "-f", "${Package} ${Version}\n", *packages.values())
    debian = ""
    with suppress(FileNotFoundError):
        debian = subprocess.run(asked, capture_output=True, text=True, check=False).stdout
    known = dict(line.split() for line in debian.splitlines() if " " in line.strip())
    for file in UNPACKED.glob("*/version"):
        known[file.parent.name] = file.read_text(encoding="utf-8").strip()
    here = {}
    for name, package in packages.items():
        with suppress(metadata.PackageNotFoundError):
            here[name] = known.get(package) or metadata.version(package)
    return here


def shares(tests: Iterable[str], number: int) -> list[list[str]]:
    """Deal tests to so many labs, a module to one: the largest first, to who has least."""
    modules: dict[str, list[str]] = {}
    for test in dict.fromkeys(tests):
        modules.setdefault(test.partition("::")[0], []).append(test)
    dealt: list[list[str]] = [[] for _ in range(min(number, len(modules)))]
    for module in sorted(modules.values(), key=len, reverse=True):
        min(dealt, key=len).extend(module)
    return dealt


def carry_out(
    wanted: Sequence[Pair],
    lab: Lab,
    at_once: int,
    folder: Path,
    watch: Callable[[Told], None],
) -> list[Verdict]:
    """Carry out the pairs' tests in so many labs at once; what they leave is in the folder."""
    told: list[Told] = []
    why = ""
    with ExitStack() as held:
        together = Together()
        logs = []
        for number, tests in enumerate(shares((p.test for p in wanted if p.test), at_once)):
            logs.append(folder / f"pytest-{number}.log")
            started = lab.start(_command(folder, tests), cwd=PROJECT, log=logs[-1])
            together.add(held.enter_context(started))
        for said in together.told():
            match said:
                case Line(_, text) if text.startswith("{"):
                    told.append(msgspec.json.decode(text, type=Told))
                    watch(told[-1])
                case Line(job, text):
                    with logs[job].open("a", encoding="utf-8") as log:
                        log.write(f"{text}\n")
                case Ended(_, LabError() as error):
                    why = str(error)
                case Ended(job, status) if status not in (0, 1):  # 1: a test failed.
                    why = last_line(logs[job])
    return [judge(pair, told, why) for pair in wanted]


def _command(folder: Path, tests: Sequence[str]) -> list[str]:
    pytest = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "tests.kept", "-q"]
    return [*pytest, "--kept", str(folder), *tests]


def judge(pair: Pair, told: Iterable[Told], why: str = "") -> Verdict:
    """Say what became of a pair; `why` is what a lab said that ended before its tests did."""
    if pair.absent:
        return Verdict(pair, ABSENT, pair.absent)
    cases = [case for case in told if pair.covers(case.test)]
    if not cases:
        return Verdict(pair, RED, f"not carried out{why and f': {why}'}")
    seconds = round(sum(case.seconds for case in cases), 3)
    folders = tuple(case.folder for case in cases)
    for outcome, status in (("failed", RED), ("skipped", ABSENT)):
        for case in cases:
            if case.outcome == outcome:
                return Verdict(pair, status, _short(case.reason), seconds, folders)
    return Verdict(pair, GREEN, "", seconds, folders)


def _short(reason: str) -> str:
    line = " ".join(reason.split())
    return line if len(line) <= 200 else f"{line[:200]}..."


def table(verdicts: Iterable[Verdict]) -> Iterator[tuple[str, ...]]:
    """Yield the rows of the table."""
    for verdict in verdicts:
        pair = verdict.pair
        yield pair.protocol, pair.left, pair.right, pair.shown, verdict.result


def write_page(page: Path, verdicts: Sequence[Verdict], here: Mapping[str, str], lab: str) -> None:
    """Write the table into a page between its two marks; ValueError without them."""
    before, _, behind = markdown.split(page, COMMAND)
    count = ", ".join(
        f"{sum(v.status == status for v in verdicts)} {word}" for status, word in WORDS.items()
    )
    programs = ", ".join(f"{name} {version}" for name, version in here.items())
    lines = [
        f"{len(verdicts)} rows: {count}. Carried out in the {lab} lab with {programs}.",
        "",
        *markdown.table(_HEAD, table(verdicts)),
    ]
    replace(page, markdown.joined((before, "\n".join(lines), behind)))
