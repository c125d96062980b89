"""The same implementation of IKE at both ends: what fails here is not a misunderstanding."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.lab.ike import (
    HA_NAME,
    HOA,
    MN_NAME,
    NEEDS,
    OURS,
    PSK,
    SWAN,
    Cable,
    Driver,
    certified,
    connection,
    esp_states,
)
from tests.lab.namespaces import wait_until
from tests.lab.needs import needs
from tests.lab.strongswan import Strongswan

ELSEWHERE, BEYOND = "2001:db8:6::2", "2001:db8:6::1"
IKEV1 = {
    "main": ("main", [128, 4, 14], "aes128-sha256-modp2048", None, "aes128-sha256"),
    "main-pfs": ("main", [128, 4, 19], "aes128-sha256-ecp256", 14, "aes128-sha256-modp2048"),
    "aggressive": ("aggressive", [128, 4, 14], "aes128-sha256-modp2048", None, "aes128-sha256"),
}
PROOFS = ("psk", "eap-tls")


@pytest.fixture(scope="module")
def cable_of_a_module() -> Iterator[Cable]:
    with closing(Cable()) as cable:
        yield cable


@pytest.fixture
def cable(cable_of_a_module: Cable) -> Iterator[Cable]:
    yield cable_of_a_module
    cable_of_a_module.reset()


class Agents:
    """Our machine at both ends; the mobile node's begins."""

    def __init__(self, cable: Cable, version: int, node: dict[str, Any], **agent: Any) -> None:
        self.cable = cable
        module = f"ikev{version}_driver"
        self.agent: Driver = cable.drive(module, at_swan=True, home_address=HOA, **agent)
        self.node: Driver = cable.drive(module, selectors=[HOA, SWAN], **node)

    def have_the_same(self) -> dict[str, Any]:
        """Wait until both tell of the same SAs, and have them; return the event."""
        event = self.node.up()
        assert self.agent.up()["sas"] == event["sas"]
        self.cable.assert_same_sas(event)
        return event


@pytest.fixture
def agents_ikev1(cable):
    def run(case: str = "main", **spec: object) -> Agents:
        mode, proposal, _, pfs, _ = IKEV1[case]
        both = {"psk": PSK, "proposals": [proposal], "pfs": pfs}
        return Agents(cable, 1, {**both, "mode": mode, **spec}, **both)

    return run


@pytest.fixture
def agents_ikev2(cable, certificates):
    def run(auth: str = "psk") -> Agents:
        both: dict[str, Any] = {
            "proposals": [[20, 128, 0, 5, 31]],
            "esp": [[20, 128, 0]],
            "folder": f"{certificates}/p256",
        }
        if auth == "psk":
            return Agents(cable, 2, {**both, "psk": PSK}, psk=PSK, **both)
        node = {
            "certificate": "mn",
            "eap": True,
            "identity": MN_NAME,
            "remote_identity": HA_NAME,
        }
        agent = {"certificate": "ha", "identity": HA_NAME, "accept_eap": True}
        return Agents(cable, 2, {**both, **node}, **agent, **both)

    return run


pytestmark = [needs("esp6", "xfrm_user", "ip")]


@pytest.mark.parametrize("case", IKEV1)
def test_agents_by_ikev1(agents_ikev1, case):
    agents_ikev1(case).have_the_same()


@pytest.mark.parametrize("auth", PROOFS)
def test_agents_by_ikev2(agents_ikev2, auth):
    agents_ikev2(auth).have_the_same()


def test_agents_replace_the_esp_sas_of_ikev1(agents_ikev1):
    both = agents_ikev1(esp_lifetime=6)
    first = both.node.up()
    both.agent.up()
    second = both.have_the_same()
    assert second["sas"] != first["sas"]


def test_agents_replace_child_and_ike_sa(agents_ikev2):
    both = agents_ikev2()
    both.have_the_same()
    both.node.command("rekey-ike")
    both.node.wait_for("IkeDeleted")
    for driver in (both.node, both.agent):
        driver.command("rekey-child")
        second = both.node.up()
        assert both.agent.up()["sas"] == second["sas"]
        both.node.wait_for("ChildDeleted")
    both.cable.assert_same_sas(second)


@pytest.mark.parametrize("version", [1, 2])
def test_an_agents_delete_reaches_the_other(cable, agents_ikev1, agents_ikev2, version):
    both = agents_ikev1() if version == 1 else agents_ikev2()
    both.have_the_same()
    both.node.command("delete")
    assert both.agent.wait_for("ChildDeleted")["reason"] == "deleted by the peer"
    wait_until(lambda: not (esp_states(cable.swan) or esp_states(cable.ours)), "no SA")


def ends_of(pair: list[dict[str, Any]]) -> set[tuple[str, str]]:
    return {(sa["src"], sa["dst"]) for sa in pair}


class Strongswans:
    """strongSwan at both ends of a cable; the mobile node's begins."""

    def __init__(self, cable: Cable, folder: Path) -> None:
        self.cable = cable
        self.certificates = folder
        self.agent, self.node = (Strongswan(host) for host in (cable.swan, cable.ours))
        self.folder = self.node.folder

    def load(self, *, auth: str = "psk", of_node: Mapping[str, Any] = {}, **more: Any) -> None:
        """Load the connection of both; what is the mobile node's alone is in `of_node`."""
        for daemon, initiator in ((self.node, True), (self.agent, False)):
            ends = (OURS, SWAN) if initiator else (SWAN, OURS)
            if auth == "psk":
                local = remote = {"auth": "psk"}
                daemon.load_psk(PSK, SWAN, OURS)
            else:
                folder = self.certificates / "rsa2048"
                local, remote = certified(daemon, folder, auth, initiator=initiator)
            if auth == "eap-tls" and not initiator:
                remote["eap_id"] = MN_NAME
            usual = {"home": f"{HOA}/128", "send_certreq": "yes", "local": local, "remote": remote}
            mip = connection(*ends, initiator=initiator, **(usual | more))
            daemon.session.load_conn({"mip": mip | of_node if initiator else mip})

    def bring_up(self) -> list[dict[str, Any]]:
        """Have the mobile node's initiate, with success."""
        assert self.node.initiate("mip", "mh"), self.node.log[-4000:]
        return self.have_the_same()

    def have_the_same(self, node: str = HOA) -> list[dict[str, Any]]:
        """Wait until both kernels have one and the same pair, in place of all others; return it.

        It is between the home agent and this address of the mobile node.
        """
        ours, swan = self.cable.ours, self.cable.swan
        ends = {(node, SWAN), (SWAN, node)}

        def is_there() -> bool:
            pair = esp_states(ours)
            return pair == esp_states(swan) and [len(pair), ends] == [2, ends_of(pair)]

        wait_until(is_there, f"the same SAs, between {ends}")
        pair = esp_states(ours)
        assert {sa["mode"] for sa in pair} == {"transport"}
        return pair

    def have_others(self, pair: list[dict[str, Any]]) -> None:
        """Wait until both have another pair in place of this."""
        old = {sa["spi"] for sa in pair}
        ours = self.cable.ours
        wait_until(
            lambda: old.isdisjoint(sa["spi"] for sa in esp_states(ours)), "the old SAs are gone"
        )
        self.have_the_same()

    def reset(self) -> None:
        """Have both forget all."""
        self.node.reset()
        self.agent.reset()

    def close(self) -> None:
        """End both."""
        self.node.close()
        self.agent.close()


@pytest.fixture(scope="module")
def strongswans_of_a_module(certificates) -> Iterator[Strongswans]:
    """They have a cable of their own, and its ports: tests of agents may come behind theirs."""
    with (
        closing(Cable()) as cable,
        closing(Strongswans(cable, certificates)) as strongswans,
    ):
        yield strongswans


@pytest.fixture
def strongswans(strongswans_of_a_module: Strongswans) -> Iterator[Strongswans]:
    yield strongswans_of_a_module
    strongswans_of_a_module.reset()


def by_ikev1(case: str) -> dict[str, str]:
    mode, _, proposals, _, esp = IKEV1[case]
    aggressive = "yes" if mode == "aggressive" else "no"
    return {"version": "1", "aggressive": aggressive, "proposals": proposals, "esp": esp}


BY_IKEV2 = {"version": "2", "proposals": "aes128gcm16-prfsha256-curve25519", "esp": "aes128gcm16"}


@NEEDS[1]
@pytest.mark.parametrize("case", IKEV1)
def test_strongswans_by_ikev1(strongswans, case):
    strongswans.load(**by_ikev1(case))
    strongswans.bring_up()


@NEEDS[1]
@pytest.mark.parametrize("auth", PROOFS)
def test_strongswans_by_ikev2(strongswans, auth):
    strongswans.load(auth=auth, **BY_IKEV2)
    strongswans.bring_up()


@NEEDS[1]
@pytest.mark.parametrize("version", [1, 2])
def test_strongswans_replace_the_esp_sas(strongswans, version):
    strongswans.load(**(BY_IKEV2 if version == 2 else by_ikev1("main")))
    first = strongswans.bring_up()
    strongswans.node.session.rekey({"child": "mh"})
    strongswans.have_others(first)


@NEEDS[1]
def test_strongswans_replace_the_ike_sa(strongswans):
    strongswans.load(**BY_IKEV2)
    pair = strongswans.bring_up()
    [before] = strongswans.node.sas()
    strongswans.node.session.rekey({"ike": "mip"})

    def after() -> bool:
        names = [sa["initiator-spi"] for sa in strongswans.node.sas()]
        return len(names) == 1 and names != [before["initiator-spi"]]

    wait_until(after, "another IKE SA")
    assert strongswans.have_the_same() == pair


@NEEDS[1]
@pytest.mark.parametrize("version", [1, 2])
def test_a_strongswans_delete_reaches_the_other(strongswans, version):
    cable = strongswans.cable
    strongswans.load(**(BY_IKEV2 if version == 2 else by_ikev1("main")))
    strongswans.bring_up()
    list(strongswans.node.session.terminate({"ike": "mip", "timeout": "5000"}))
    wait_until(lambda: not strongswans.agent.sas(), "the other has no IKE SA")
    wait_until(lambda: not (esp_states(cable.swan) or esp_states(cable.ours)), "no SA")


@pytest.fixture
def elsewhere(strongswans) -> Iterator[Callable[[], None]]:
    """Return how the mobile node loses its address, and is reachable at another."""
    cable = strongswans.cable
    cable.swan.run(f"ip addr add {BEYOND}/64 dev s0 nodad")

    def move() -> None:
        cable.ours.run(f"ip addr add {ELSEWHERE}/64 dev o0 nodad")
        cable.ours.run(f"ip route add {SWAN} via {BEYOND} dev o0")
        cable.ours.run(f"ip addr del {OURS}/64 dev o0")

    yield move
    cable.swan.run(f"ip addr del {BEYOND}/64 dev s0")
    cable.ours.run(f"ip addr replace {OURS}/64 dev o0 nodad")
    cable.ours.run(f"ip addr flush to {ELSEWHERE} dev o0")
    cable.ours.run(f"ip -6 route flush {SWAN}")


@NEEDS[1]
def test_mobike_takes_strongswans_sas_from_the_home_address(strongswans, elsewhere):
    """The IKE SA goes on from another address; so do the ESP SAs, which were not for that one."""
    strongswans.load(**BY_IKEV2 | {"mobike": "yes"}, of_node={"local_addrs": ["%any"]})
    strongswans.bring_up()
    [before] = strongswans.agent.sas()
    elsewhere()

    def moved() -> bool:
        [sa] = strongswans.agent.sas()
        return sa["remote-host"] == ELSEWHERE.encode()

    wait_until(moved, "the home agent knows the new address")
    [after] = strongswans.agent.sas()
    assert after["initiator-spi"] == before["initiator-spi"]
    strongswans.have_the_same(node=ELSEWHERE)
