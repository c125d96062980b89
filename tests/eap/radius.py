"""Just enough RADIUS (RFC 2865, RFC 3579) to carry EAP to and from independent programs."""

from __future__ import annotations

import secrets
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import md5

from pyrad.dictionary import Dictionary
from pyrad.packet import AccessAccept, AccessChallenge, AccessReject, AuthPacket

from agents.eap.peer import EapPeer
from agents.eap.server import EapServer

SECRET = b"testing123"
EAP_MESSAGE, STATE, VENDOR, AUTHENTICATOR = 79, 24, 26, 80
CODES = {None: AccessChallenge, "success": AccessAccept, "failure": AccessReject}


LOOPBACK = "127.0.0.1"


def udp(address: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.socket(family, socket.SOCK_DGRAM)


def free_port() -> int:
    with udp(LOOPBACK) as s:
        s.bind((LOOPBACK, 0))
        return s.getsockname()[1]


def chunks(packet: bytes) -> list[bytes]:
    return [packet[i : i + 253] for i in range(0, len(packet), 253)]


def mppe_key(kind: int, key: bytes, answer: AuthPacket) -> bytes:
    """RFC 2548 section 2.4.2: vendor 311, type, length, salt, encrypted key."""
    salted = answer.SaltCrypt(key)
    return (311).to_bytes(4) + bytes([kind, 2 + len(salted)]) + salted


@dataclass
class RadiusServer:
    """Serves EAP conversations of an EapServer on a UDP port, one per State, in a thread."""

    make_server: Callable[[], EapServer]
    port: int = field(default_factory=free_port)
    address: str = LOOPBACK
    sessions: dict[bytes, EapServer] = field(default_factory=dict)
    error: Exception | None = None

    def __enter__(self) -> RadiusServer:
        self._socket = udp(self.address)
        self._socket.bind((self.address, self.port))
        self._socket.settimeout(0.05)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join(5)
        self._socket.close()

    def _serve(self) -> None:
        while not self._stopped.is_set():
            try:
                data, source = self._socket.recvfrom(8192)
            except TimeoutError:
                continue
            try:
                answer = self._answer(data)
            except Exception as error:
                self.error = error
                return
            self._socket.sendto(answer, source)

    def _answer(self, data: bytes) -> bytes:
        request = AuthPacket(packet=data, secret=SECRET, dict=Dictionary())
        state = request[STATE][0] if STATE in request else secrets.token_bytes(8)
        server = self.sessions.setdefault(state, self.make_server())
        packet = server.handle_response(b"".join(request[EAP_MESSAGE]))
        answer = request.CreateReply()
        answer.code = CODES[server.outcome]
        answer[EAP_MESSAGE] = chunks(packet or b"")
        answer[STATE] = [state]
        if server.keys is not None:
            msk = server.keys.msk
            answer[VENDOR] = [
                mppe_key(17, msk[:32], answer),  # MS-MPPE-Recv-Key
                mppe_key(16, msk[32:], answer),  # MS-MPPE-Send-Key
            ]
        return answer.ReplyPacket()


class RadiusClient:
    """Carries an EapPeer's conversation to a RADIUS server; each wait has a deadline."""

    def __init__(
        self, port: int, deadline: float = 5.0, address: str = LOOPBACK, secret: bytes = SECRET
    ) -> None:
        self._end = address, port
        self._secret = secret
        self._deadline = deadline
        self.msk: bytes | None = None

    def run(self, peer: EapPeer, identity_request: bytes = b"\x01\x2a\x00\x05\x01") -> None:
        packet, state = identity_request, None
        with udp(self._end[0]) as s:
            s.settimeout(self._deadline)
            s.connect(self._end)
            for identifier in range(200):
                response = peer.handle_request(packet)
                if response is None:
                    return
                request = AuthPacket(id=identifier % 256, secret=self._secret, dict=Dictionary())
                request.authenticator = secrets.token_bytes(16)
                request[1] = [b"mn@home.test"]
                request[EAP_MESSAGE] = chunks(response)
                if state is not None:
                    request[STATE] = [state]
                request.add_message_authenticator()
                s.send(request.RequestPacket())
                data = s.recv(8192)
                answer = request.CreateReply(packet=data)
                assert request.VerifyReply(answer, data)
                packet = b"".join(answer[EAP_MESSAGE])
                state = answer[STATE][0] if STATE in answer else None
                self._take_keys(answer, request)
        raise AssertionError("the conversation does not end")

    def _take_keys(self, answer: AuthPacket, request: AuthPacket) -> None:
        if (311, 17) in answer and (311, 16) in answer:
            self.msk = b"".join(
                salt_decrypt(answer[311, kind][0], request.authenticator, self._secret)
                for kind in (17, 16)
            )


def salt_decrypt(value: bytes, authenticator: bytes, secret: bytes) -> bytes:
    """RFC 2548 section 2.4.2, the other way round."""
    salt, data = value[:2], value[2:]
    clear, last = b"", authenticator + salt
    for i in range(0, len(data), 16):
        block = data[i : i + 16]
        mask = md5(secret + last).digest()
        clear += bytes(a ^ b for a, b in zip(block, mask, strict=True))
        last = block
    return clear[1 : 1 + clear[0]]
