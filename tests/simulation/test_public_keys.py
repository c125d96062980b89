"""The stand-in for public keys: what is as with OpenSSL, and what is checked all the same."""

from __future__ import annotations

import random

import pytest

from agents.core.machine import PeerError
from agents.crypto import dh
from agents.eap import ca
from agents.eap.peer import EapPeer
from agents.eap.server import EapServer
from agents.eap.tls import TlsClientConfig, TlsServerConfig
from agents.simulation.public_keys import (
    ModelClientConfig,
    ModelServerConfig,
    flights,
    without_diffie_hellman,
)

SERVER, IDENTITY = "aaa.home.test", "mn@home.test"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pki")
    made = ca.create(folder, (IDENTITY,), server=SERVER)
    (client,) = made.clients.values()
    server = made.server
    return {
        "ca": made.ca,
        "server": (server.certificate, server.key),
        "client": (client.certificate, client.key),
    }


def real(files):
    return (
        TlsClientConfig(files["ca"], *files["client"], server_names=(SERVER,)),
        TlsServerConfig(files["ca"], *files["server"]),
    )


def model(files, *, server=SERVER, identity=IDENTITY):
    lengths = flights(files["ca"], *files["server"], *files["client"])
    common = {"lengths": lengths, "rng": random.Random(1)}
    return (
        ModelClientConfig(
            files["ca"], *files["client"], server_names=(SERVER,), own=identity, **common
        ),
        ModelServerConfig(files["ca"], *files["server"], own=server, **common),
    )


def converse(configs, identity=IDENTITY, **options):
    """Carry out a conversation; return both ends, and the lengths of all packets."""
    peer = EapPeer(identity, configs[0])
    server = EapServer(configs[1], **options)
    lengths, request = [], server.start()
    while request is not None:
        lengths.append(len(request))
        response = peer.handle_request(request)
        if response is None:
            break
        lengths.append(len(response))
        request = server.handle_response(response)
    return peer, server, lengths


def test_packets_are_as_many_and_as_long_as_openssls(files):
    *_, expected = converse(real(files))
    *_, lengths = converse(model(files))
    assert len(lengths) == len(expected)
    assert lengths == pytest.approx(expected, abs=6)  # ECDSA signatures differ in length.


def test_both_ends_have_the_same_keys_and_others_the_next_time(files):
    configs = model(files)
    peer, server, _ = converse(configs)
    assert (peer.outcome, server.outcome) == ("success", "success")
    assert server.peer_name == IDENTITY
    assert peer.keys == server.keys
    again, *_ = converse(configs)
    assert again.keys.msk != peer.keys.msk


def test_who_is_not_the_one_it_claims_to_be_is_refused(files):
    _, server, _ = converse(model(files, identity="other@home.test"))
    assert server.outcome == "failure"
    assert "the certificate names other@home.test" in server.reason


def test_a_subscriber_who_may_not_come_is_refused(files):
    configs = model(files)
    _, server, _ = converse(configs, authorise=lambda _: "not subscribed")
    assert (server.outcome, server.reason) == ("failure", "not subscribed")


def test_a_server_with_another_name_is_refused(files):
    peer, server, _ = converse(model(files, server="other.test"))
    assert server.outcome == "failure"
    assert "other.test" in peer.reason


@pytest.mark.parametrize("number", dh.GROUPS)
def test_values_of_a_group_have_its_lengths(number):
    rng = random.Random(1)
    expected = dh.generate(number, rng)
    with without_diffie_hellman():
        one, two = dh.generate(number, rng), dh.generate(number, rng)
    assert len(one.public) == len(expected.public)
    assert len(one.shared(two.public)) == dh.GROUPS[number].length
    assert one.shared(two.public) == two.shared(one.public)
    assert type(dh.generate(number, rng)) is type(expected)
    with pytest.raises(PeerError):
        one.shared(b"short")
