"""The transitions that PaC and PAA have in common (RFC 5609 section 6.6).

RFC 5609 answers a ping in every state but INITIAL; RFC 5191 section 5.5, which has precedence,
calls it invalid in the first authentication, that is, before there is a key.
"""

from __future__ import annotations

from agents.pana.states import S, Table, Trigger, row

T = Trigger


def common_table(states: type[S]) -> Table[S]:
    """Return the rows for the states of one side; they come after its own (RFC 5609 section 5)."""
    initial, wait_pea, sess_term, closed = (
        states[name] for name in ("INITIAL", "WAIT_PEA", "SESS_TERM", "CLOSED")
    )
    alive = tuple(state for state in states if state is not closed)
    erring = tuple(state for state in alive if state not in (initial, sess_term))
    reporting = tuple(state for state in erring if state is not wait_pea)
    return (
        # Not in RFC 5609: both sides may terminate at once, and RFC 5191 section 5.5 allows a
        # termination request in this phase.
        row(sess_term, T.RX_PTR, (), ("Tx:PTA[]", "Disconnect"), closed),
        # Errors, which draft-ietf-pana-pana-12 alone reports (section 5.11); in WAIT_PEA it was
        # one that ends the session.
        row(reporting, T.REFUSED, (), ("RtxTimerStop", "Tx:PER[]", "RtxTimerStart"), wait_pea),
        row(wait_pea, T.RX_PEA, (), ("RtxTimerStop", "Disconnect"), closed),
        row(
            erring,
            T.RX_PER,
            ("PER_FATAL",),
            ("Tx:PEA[]", "SessionTimerStop", "Disconnect"),
            closed,
        ),
        row(erring, T.RX_PER, ("!PER_FATAL",), ("Tx:PEA[]",), None),
        row(alive, T.RX_PNR_P, ("key_available",), ("Tx:PNA[P]",), None),
        row(alive, T.RTX_TIMEOUT, ("RTX_COUNTER<RTX_MAX_NUM",), ("Retransmit",), None),
        row(alive, T.RTX_TIMEOUT, ("!RTX_COUNTER<RTX_MAX_NUM",), ("Disconnect",), closed),
        row(alive, T.SESS_TIMEOUT, (), ("Disconnect",), closed),
    )
