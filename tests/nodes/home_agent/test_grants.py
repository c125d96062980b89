"""Which answers grant nothing any more, and whose session a server means."""

from __future__ import annotations

import pytest

from agents.diameter.dictionary import APPLICATION_IKE_SK, Command
from agents.diameter.sessions import SessionRequest
from agents.nodes.home_agent.grants import Granted, Grants

NAME, OTHER = "mn@home.test", "other@home.test"
SERVER, ANOTHER = "aaa.home.test", "aaa2.home.test"


def order(session_id, name=NAME, server=SERVER):
    return SessionRequest(
        command=Command.ABORT_SESSION,
        session_id=session_id,
        application=APPLICATION_IKE_SK,
        origin_host=server,
        origin_realm="home.test",
        destination_realm="home.test",
        user_name=name,
    )


@pytest.fixture
def grants():
    return Grants(lambda session_id: int(session_id) if session_id.isdecimal() else None)


def test_what_is_taken_back_after_its_question_was_given_up_no_earlier_answer_grants(grants):
    first, second, third = (grants.ask(session) for session in ("1", "2", "3"))
    grants.answered(second)
    assert not grants.abort(second, order("2"))
    assert grants.is_late(first, SERVER, NAME)
    assert not grants.is_late(first, ANOTHER, NAME)
    assert not grants.is_late(first, SERVER, OTHER)
    assert not grants.is_late(third, SERVER, NAME)


def test_an_order_without_a_name_is_about_its_session_alone(grants):
    first, second = grants.ask("1"), grants.ask("2")
    assert grants.abort(second, order("2", name=None))
    assert grants.is_late(second, SERVER, NAME)
    assert not grants.is_late(first, SERVER, NAME)


def test_what_ends_in_between_leaves_the_answer_to_a_later_question_alone(grants):
    first, second, third = grants.ask(), grants.ask(), grants.ask()
    grants.note(NAME, Granted(SERVER, "2", second))
    grants.answered(second)
    assert grants.end(NAME) == Granted(SERVER, "2", second)
    assert grants.is_late(first, ANOTHER, NAME)
    assert not grants.is_late(first, ANOTHER, OTHER)
    assert not grants.is_late(third, SERVER, NAME)


def test_a_name_tells_whose_a_session_is_that_began_after_all_that_were_granted(grants):
    for session in ("2", "1"):  # The one that began first was granted last.
        grants.note(NAME, Granted(SERVER, session, grants.ask()))
    meant = [grants.meant(order(session)) for session in ("1", "2", "3", "nobody's")]
    assert meant == [NAME, None, NAME, None]
    assert grants.meant(order("3", OTHER)) is None
    assert grants.meant(order("3", None)) is None
    assert grants.meant(order("1", server=ANOTHER)) is None
