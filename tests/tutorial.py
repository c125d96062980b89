"""docs/tutorial.md: its commands, what is typed at each prompt, and what is to be seen then."""

import re
import shlex
from dataclasses import dataclass, field

from testbed.base.places import PROJECT

PAGE = PROJECT / "docs" / "tutorial.md"
PROMPT = "mininet> "
COMMAND = re.compile(r"^ {4}\.venv/bin/mip6lab (.+)$")


@dataclass
class Typed:
    """A line typed at a prompt, and the lines that are to be among the answer, in order."""

    line: str
    shown: list[str] = field(default_factory=list)


@dataclass
class Command:
    """A command of mip6lab, and what is typed at its prompt."""

    words: list[str]
    typed: list[Typed] = field(default_factory=list)


def commands() -> list[Command]:
    """Return what the page has its reader do, in order."""
    found: list[Command] = []
    inside = False
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            inside = not inside
        elif inside and line.startswith(PROMPT):
            found[-1].typed.append(Typed(line.removeprefix(PROMPT)))
        elif inside:
            found[-1].typed[-1].shown.append(line)
        elif match := COMMAND.match(line):
            found.append(Command(shlex.split(match[1])))
    return found


def missing(answer: str, shown: list[str]) -> str | None:
    """Return the first line that is not in an answer behind the one before it; None if all are."""
    lines = iter(answer.splitlines())
    for wanted in shown:
        pattern = ".*".join(re.escape(part.strip()) for part in wanted.split("…"))
        if not any(re.fullmatch(pattern, line.strip()) for line in lines):
            return wanted
    return None
