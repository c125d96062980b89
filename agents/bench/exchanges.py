"""What the machines cost: whole exchanges in memory, both ends together, without a network."""

from __future__ import annotations

import random
import statistics
import tempfile
import timeit
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address
from pathlib import Path

import msgspec

from agents.bench import FOLDER
from agents.bootstrap.assignment import Assignment
from agents.core.record import Record
from agents.crypto.dh import ECP256, MODP2048
from agents.diameter.eap import DiameterEapAnswer
from agents.diameter.wire import Message
from agents.eap import ca
from agents.eap.peer import EapPeer
from agents.eap.server import EapServer
from agents.eap.tls import TlsClientConfig, TlsServerConfig
from agents.ikev1 import Config, EspProposal, IkeProposal, Ikev1, Mode, Selectors
from agents.ikev1.events import ChildEstablished

_REPEATS = 5
_TARGET = 0.2  # Seconds that one repetition takes, or a single call if that takes longer.
_HOME = IPv6Address("2001:db8:100::1234")
_AGENT = IPv6Address("2001:db8:100::1")
_CARE_OF = IPv6Address("2001:db8:a::2")
_IDENTITY = "mn@home.test"


class Cost(Record, frozen=True):
    """Median, least and greatest time of one exchange over a few repetitions, in seconds."""

    name: str
    median: float
    least: float
    greatest: float

    def as_json(self) -> dict[str, object]:
        """Return plain data."""
        return msgspec.structs.asdict(self)


def eap_tls(folder: Path, version: str) -> Callable[[], None]:
    """Return a full EAP-TLS authentication (RFC 5216, RFC 9190)."""
    credentials = ca.create(folder, [_IDENTITY])
    client = credentials.clients[_IDENTITY]
    server = credentials.server
    versions = {"minimum_version": version, "maximum_version": version}
    client_tls = TlsClientConfig(credentials.ca, client.certificate, client.key, **versions)  # type: ignore[arg-type]
    server_tls = TlsServerConfig(credentials.ca, server.certificate, server.key, **versions)  # type: ignore[arg-type]

    def authenticate() -> None:
        peer, authenticator = EapPeer(_IDENTITY, client_tls), EapServer(server_tls)
        packet: bytes | None = authenticator.start()
        while packet is not None and (response := peer.handle_request(packet)) is not None:
            packet = authenticator.handle_response(response)
        if peer.keys is None:
            raise RuntimeError(f"EAP-TLS failed: {peer.reason}")

    return authenticate


def ikev1(mode: Mode, group: int) -> Callable[[], None]:
    """Return phase 1 and quick mode between two hosts (RFC 2409)."""
    config = Config(
        mode=mode, proposals=(IkeProposal(group=group),), esp_proposals=(EspProposal(),)
    )

    def establish() -> None:
        rng = random.Random(1)
        node = Ikev1(rng=rng, local=_CARE_OF, config=config)
        agent = Ikev1(rng=rng, local=_AGENT, config=config)
        node.add_psk(b"secret", peer=_AGENT, home_address=_HOME)
        agent.add_psk(b"secret", peer=_CARE_OF, home_address=_HOME)
        node.initiate(_AGENT, Selectors(_HOME, _AGENT), 0.0)
        while node.outbox or agent.outbox:
            while node.outbox:
                agent.handle_message(node.outbox.popleft()[0], (str(_CARE_OF), 500), 0.0)
            while agent.outbox:
                node.handle_message(agent.outbox.popleft()[0], (str(_AGENT), 500), 0.0)
        if not any(isinstance(event, ChildEstablished) for event in agent.events):
            raise RuntimeError("IKEv1 made no security association")

    return establish


def diameter() -> Callable[[], None]:
    """Return encoding and decoding of a Diameter-EAP-Answer with a home agent (RFC 5447)."""
    answer = DiameterEapAnswer(
        "ar.visited.test;1;1",
        2001,
        "aaa.home.test",
        "home.test",
        eap_payload=bytes(1000),
        msk=bytes(64),
        assignment=Assignment(_AGENT, 64, _HOME),
    )

    def carry() -> None:
        DiameterEapAnswer.from_message(Message.decode(answer.to_message().encode()))

    return carry


def benchmarks(folder: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield the benchmarks by name."""
    yield "EAP-TLS, TLS 1.2, P-256", eap_tls(folder, "1.2")
    yield "EAP-TLS, TLS 1.3, P-256", eap_tls(folder, "1.3")
    for mode in (Mode.MAIN, Mode.AGGRESSIVE):
        for name, group in (("modp2048", MODP2048), ("ecp256", ECP256)):
            yield f"IKEv1 {mode.name.lower()} and quick mode, {name}", ikev1(mode, group)
    yield "Diameter-EAP-Answer of 1,000 octets, both ways", diameter()


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix=FOLDER) as name:
        yield Path(name)


def measure() -> Iterator[Cost]:
    """Run the benchmarks; yield each one's cost as it is known."""
    with _folder() as folder:
        for name, benchmark in benchmarks(folder):
            timer = timeit.Timer(benchmark)
            once = timer.timeit(1)
            number = max(1, int(_TARGET / once))
            times = [t / number for t in timer.repeat(_REPEATS, number)]
            yield Cost(name, statistics.median(times), min(times), max(times))
