"""How mobile nodes come to another home agent: from their events to what is summed up."""

from testbed.analysis.fleets import Fleet
from testbed.results.runs import Member, Moved, Run
from testbed.run.members import Member as Running
from testbed.run.members import Move

HA1, HA2 = "2001:db8:100::1", "2001:db8:101::1"
FAILOVER = [
    (10.0, "BindingUpdateSent", {}),
    (24.5, "ChildDeleted", {}),
    (25.0, "AssignmentChanged", {}),
    (25.1, "ChildEstablished", {}),
    (26.1, "Bootstrapped", {"home_agent": HA2, "home_address": "2001:db8:101::5"}),
]


def moved(events, since=100.0):
    move = Move()
    for at, name, more in events:
        move.note({"t": (since + at) * 1e9, "event": name, **more}, since, HA1)
    return move


def test_the_parts_of_a_failover_are_found_in_the_events():
    move = moved(FAILOVER)
    assert (move.noticed, move.bootstrapped, move.registered) == (24.5, 25.1, 26.1)
    assert (move.home_agent, move.home_address) == (HA2, "2001:db8:101::5")


def test_who_has_come_back_to_the_same_home_agent_has_not_moved():
    back = [(26.1, "Bootstrapped", {"home_agent": HA1, "home_address": "2001:db8:100::5"})]
    assert moved([*FAILOVER[:2], *back]).registered is None


def test_sas_with_the_home_agent_that_fails_once_more_do_not_count():
    again = [(24.8, "ChildEstablished", {}), (40.0, "ChildDeleted", {})]
    later = [(at + 20.0, name, more) for at, name, more in FAILOVER[2:]]
    move = moved([*FAILOVER[:2], *again, *later])
    assert (move.noticed, move.bootstrapped, move.registered) == (24.5, 45.1, 46.1)


def test_a_drained_home_agent_is_left_when_another_is_assigned():
    move = moved([(45.0, "AssignmentChanged", {}), (45.0, "ChildDeleted", {}), *FAILOVER[3:]])
    assert move.noticed == 45.0


def test_parts_add_up_and_home_agents_are_counted():
    way = Moved(
        home_agent=HA2, home_address="::1", noticed=24.5, bootstrapped=25.1, registered=26.1
    )
    members = [
        Member(host="MN0001", start=0.0, end=1.0, home_agent=HA1, moved=way),
        Member(host="MN0002", start=0.0, end=1.0, home_agent=HA2),
        Member(host="MN0003", start=0.0, end=1.0, home_agent=HA2),
    ]
    phases = dict.fromkeys(("pana", "pana_to_ike", "ike", "ike_to_binding", "binding", "total"), 0)
    run = Run(run=1, variant="v", seed=1, status="ok", phases=phases, members=members)
    fleet = Fleet("v", 3, [run, run])
    assert fleet.home_agents == {HA1: [1, 1], HA2: [2, 2]}
    medians = {part: one.median for part, one in fleet.moves.items()}
    parts = ("detection", "bootstrap", "registration")
    assert medians["recovery"] == 26.1
    assert abs(sum(medians[part] for part in parts) - 26.1) < 1e-9


def test_a_mobile_node_is_over_when_it_is_up_or_has_made_all_attempts():
    member = Running("MN0001", start=0.0)
    assert not member.is_over(0)  # Any number.
    assert not member.is_over(1)
    member.failures = 2
    assert not member.is_over(0)
    assert not member.is_over(3)
    assert member.is_over(2)
    member.end = 1.0
    assert member.is_over(0)
