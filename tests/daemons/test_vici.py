"""The connection to strongSwan's daemon, with a daemon that says what a test has it say."""

from __future__ import annotations

import asyncio

from vici.protocol import Message, Packet

from agents.daemons.strongswan.vici import ViciConnection, ViciError


def _packet(kind: int, body: dict | None = None, name: str = "") -> bytes:
    head = bytes([kind]) + (bytes([len(name)]) + name.encode() if name else b"")
    data = head + (Message.serialize(body) if body is not None else b"")
    return len(data).to_bytes(4) + data


GOOD = _packet(Packet.CMD_RESPONSE, {"success": "yes"})
BAD = _packet(Packet.CMD_RESPONSE, {"success": "no", "errmsg": "no such child"})
UNKNOWN = _packet(Packet.CMD_UNKNOWN)
CONFIRMED = _packet(Packet.EVENT_CONFIRM)
UP = _packet(Packet.EVENT, {"up": "yes", "home": {"version": "2"}}, "child-updown")


def talk(tmp_path, says: bytes, asked: int, *, pieces: int = 1, ends: bool = False):
    """Ask so many commands; return what came of each, the events, and what the daemon heard."""
    answers, events, heard, ended = [], [], bytearray(), asyncio.Event()

    async def serve(reader, writer):
        while len(heard) < asked:
            heard.extend(await reader.read(4096))
        step = -(-len(says) // pieces) or 1
        for at in range(0, len(says), step):
            writer.write(says[at : at + step])
            await writer.drain()
            await asyncio.sleep(0)
        if not ends:
            await reader.read()
        writer.close()
        ended.set()

    async def main():
        path = str(tmp_path / "vici")
        server = await asyncio.start_unix_server(serve, path)
        connection = ViciConnection(lambda name, told: events.append((name, told)))
        await connection.connect(path)
        for number in range(asked):
            connection.ask("initiate", {"child": f"mh{number}"}, answers.append)
        async with asyncio.timeout(5):
            while len(answers) < asked:
                await asyncio.sleep(0.001)
        connection.close()
        server.close()
        await server.wait_closed()
        await ended.wait()

    asyncio.run(main())
    return answers, events, bytes(heard)


def test_answers_come_in_order_and_events_between_them(tmp_path):
    answers, events, heard = talk(tmp_path, GOOD + UP + BAD + UNKNOWN, 3, pieces=7)
    assert answers[0]["success"] == b"yes"
    assert [str(a) for a in answers[1:]] == ["no such child", f"{answers[2]}"]
    assert isinstance(answers[2], ViciError)
    assert events == [("child-updown", {"up": b"yes", "home": {"version": b"2"}})]
    assert heard.count(b"initiate") == 3


def test_who_waits_is_told_that_the_daemon_is_gone(tmp_path):
    answers, _, _ = talk(tmp_path, GOOD, 3, ends=True)
    assert answers[0]["success"] == b"yes"
    assert ["gone" in str(a) for a in answers[1:]] == [True, True]


def test_without_a_connection_a_command_fails_at_once():
    answers = []
    ViciConnection().ask("initiate", {}, answers.append)
    assert "gone" in str(answers[0])


def test_events_are_asked_for(tmp_path):
    told, ended = [], asyncio.Event()

    async def main():
        async def serve(reader, writer):
            await reader.read(4096)
            writer.write(CONFIRMED + UP)
            await reader.read()
            writer.close()
            ended.set()

        path = str(tmp_path / "vici")
        server = await asyncio.start_unix_server(serve, path)
        connection = ViciConnection(lambda name, _: told.append(name))
        await connection.connect(path)
        connection.listen("child-updown")
        async with asyncio.timeout(5):
            while not told:
                await asyncio.sleep(0.001)
        connection.close()
        server.close()
        await ended.wait()

    asyncio.run(main())
    assert told == ["child-updown"]
