"""The peer state table of RFC 6733 section 5.6 as data."""

from __future__ import annotations

from enum import Enum, auto

from agents.diameter.config import DiameterTimers


class State(Enum):
    """The states of RFC 6733 section 5.6."""

    CLOSED = "Closed"
    WAIT_CONN_ACK = "Wait-Conn-Ack"
    WAIT_I_CEA = "Wait-I-CEA"
    WAIT_CONN_ACK_ELECT = "Wait-Conn-Ack/Elect"
    WAIT_RETURNS = "Wait-Returns"
    R_OPEN = "R-Open"
    I_OPEN = "I-Open"
    CLOSING = "Closing"


class Input(Enum):
    """The events of RFC 6733 section 5.6.2 that change the state."""

    START = auto()
    R_CONN_CER = auto()
    I_RCV_CONN_ACK = auto()
    I_RCV_CONN_NACK = auto()
    I_RCV_CEA = auto()
    I_RCV_NON_CEA = auto()
    I_PEER_DISC = auto()
    R_PEER_DISC = auto()
    WIN_ELECTION = auto()
    RCV_DPR = auto()
    RCV_DPA = auto()
    STOP = auto()
    TIMEOUT = auto()


class Step(Enum):
    """The actions of RFC 6733 section 5.6.3."""

    I_SND_CONN_REQ = auto()
    I_SND_CER = auto()
    I_DISC = auto()
    R_ACCEPT = auto()
    R_REJECT = auto()
    R_SND_CEA = auto()
    R_DISC = auto()
    PROCESS_CER = auto()
    PROCESS_CEA = auto()
    ELECT = auto()
    SND_DPR = auto()
    SND_DPA = auto()
    CLEANUP = auto()
    ERROR = auto()


_Transition = tuple[tuple[Step, ...], State]
_OPEN: dict[Input, _Transition] = {
    Input.STOP: ((Step.SND_DPR,), State.CLOSING),
    Input.RCV_DPR: ((Step.SND_DPA,), State.CLOSING),
}

TRANSITIONS: dict[State, dict[Input, _Transition]] = {
    State.CLOSED: {
        Input.START: ((Step.I_SND_CONN_REQ,), State.WAIT_CONN_ACK),
        Input.R_CONN_CER: ((Step.R_ACCEPT, Step.PROCESS_CER, Step.R_SND_CEA), State.R_OPEN),
    },
    State.WAIT_CONN_ACK: {
        Input.I_RCV_CONN_ACK: ((Step.I_SND_CER,), State.WAIT_I_CEA),
        Input.I_RCV_CONN_NACK: ((Step.CLEANUP,), State.CLOSED),
        Input.R_CONN_CER: ((Step.R_ACCEPT, Step.PROCESS_CER), State.WAIT_CONN_ACK_ELECT),
        Input.TIMEOUT: ((Step.ERROR,), State.CLOSED),
    },
    State.WAIT_I_CEA: {
        Input.I_RCV_CEA: ((Step.PROCESS_CEA,), State.I_OPEN),
        Input.R_CONN_CER: ((Step.R_ACCEPT, Step.PROCESS_CER, Step.ELECT), State.WAIT_RETURNS),
        Input.I_PEER_DISC: ((Step.I_DISC,), State.CLOSED),
        Input.I_RCV_NON_CEA: ((Step.ERROR,), State.CLOSED),
        Input.TIMEOUT: ((Step.ERROR,), State.CLOSED),
    },
    State.WAIT_CONN_ACK_ELECT: {
        Input.I_RCV_CONN_ACK: ((Step.I_SND_CER, Step.ELECT), State.WAIT_RETURNS),
        Input.I_RCV_CONN_NACK: ((Step.R_SND_CEA,), State.R_OPEN),
        Input.R_PEER_DISC: ((Step.R_DISC,), State.WAIT_CONN_ACK),
        Input.R_CONN_CER: ((Step.R_REJECT,), State.WAIT_CONN_ACK_ELECT),
        Input.TIMEOUT: ((Step.ERROR,), State.CLOSED),
    },
    State.WAIT_RETURNS: {
        Input.WIN_ELECTION: ((Step.I_DISC, Step.R_SND_CEA), State.R_OPEN),
        Input.I_PEER_DISC: ((Step.I_DISC, Step.R_SND_CEA), State.R_OPEN),
        # A refusal on the connection that we made: the other one is the one that lives.
        Input.I_RCV_NON_CEA: ((Step.I_DISC, Step.R_SND_CEA), State.R_OPEN),
        Input.I_RCV_CEA: ((Step.R_DISC, Step.PROCESS_CEA), State.I_OPEN),
        Input.R_PEER_DISC: ((Step.R_DISC,), State.WAIT_I_CEA),
        Input.R_CONN_CER: ((Step.R_REJECT,), State.WAIT_RETURNS),
        Input.TIMEOUT: ((Step.ERROR,), State.CLOSED),
    },
    State.R_OPEN: {
        **_OPEN,
        Input.R_CONN_CER: ((Step.R_REJECT,), State.R_OPEN),
        Input.R_PEER_DISC: ((Step.R_DISC,), State.CLOSED),
    },
    State.I_OPEN: {
        **_OPEN,
        Input.R_CONN_CER: ((Step.R_REJECT,), State.I_OPEN),
        Input.I_PEER_DISC: ((Step.I_DISC,), State.CLOSED),
    },
    State.CLOSING: {
        Input.RCV_DPA: ((Step.ERROR,), State.CLOSED),
        Input.TIMEOUT: ((Step.ERROR,), State.CLOSED),
        Input.I_PEER_DISC: ((Step.I_DISC,), State.CLOSED),
        Input.R_PEER_DISC: ((Step.R_DISC,), State.CLOSED),
        # Both ends said DPR at once: the RFC's table leaves the answer out.
        Input.RCV_DPR: ((Step.SND_DPA,), State.CLOSING),
        Input.R_CONN_CER: ((Step.R_REJECT,), State.CLOSING),
    },
}
"""The table of RFC 6733 section 5.6; what is not listed is discarded."""

OPEN_STATES = (State.I_OPEN, State.R_OPEN)

COMING_STATES = frozenset(
    {State.WAIT_CONN_ACK, State.WAIT_I_CEA, State.WAIT_CONN_ACK_ELECT, State.WAIT_RETURNS}
)
"""Those in which a connection comes up, or fails."""


def patience(state: State, timers: DiameterTimers) -> float | None:
    """Return how long a state may last, in seconds; None: for ever."""
    return {
        State.WAIT_CONN_ACK: timers.connect,
        State.WAIT_CONN_ACK_ELECT: timers.connect,
        State.WAIT_I_CEA: timers.capabilities,
        State.WAIT_RETURNS: timers.capabilities,
        State.CLOSING: timers.disconnect,
    }.get(state)
