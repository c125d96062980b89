"""Commands on standard input."""

import asyncio
import os

from agents.core.eventlog import EventLog
from agents.shell import program


class Lines(list):
    def write(self, line):
        self.append(line)

    def flush(self):
        pass


def obeyed(monkeypatch, *pieces):
    """Return what was obeyed and what was refused of what comes in pieces."""
    reader, writer = os.pipe()
    stdin = os.fdopen(reader)
    monkeypatch.setattr(program.sys, "stdin", stdin)
    done, refused = [], Lines()

    def say(word):
        done.append(word)
        return word != "no"

    async def main():
        program.take_commands({"say": say}, EventLog("A", "role", refused))
        for piece in pieces:
            os.write(writer, piece)
            await asyncio.sleep(0.01)
        os.close(writer)
        await asyncio.sleep(0.01)

    with stdin:
        asyncio.run(main())
    return done, refused


def test_a_line_may_come_in_pieces_and_several_at_once(monkeypatch):
    done, refused = obeyed(monkeypatch, b"say a\nsa", b"y b\nsay c\nsay d", b"")
    assert done == ["a", "b", "c", "d"]
    assert not refused


def test_many_lines_are_not_cut_where_a_read_ends(monkeypatch):
    words = [f"word{number}" for number in range(2000)]
    done, refused = obeyed(monkeypatch, b"".join(b"say %s\n" % w.encode() for w in words))
    assert done == words
    assert not refused


def test_what_cannot_be_done_is_refused(monkeypatch):
    done, refused = obeyed(monkeypatch, b"say no\nsay\nsing a\n")
    assert done == ["no"]
    assert len(refused) == 3
