"""The PaC's state transition table (RFC 5609 sections 6.6 and 7.5).

Departures from the RFC's rows:

- The EAP peer answers within the call, so EAP_RespTimerStart, EAP_RespTimerStop and
  EAP_RESP_TIMEOUT have no place here.
- This PaC always wants a PANA SA, for the key is what bootstrapping starts from: generate_pana_sa()
  is true, and a start request without acceptable algorithms is discarded before it gets here.
- The session timer runs from AUTH_USER and no start request extends it, so that one deadline
  holds for the whole authentication. A re-authentication's does not outlast the lifetime granted
  before. A start request before AUTH_USER is ignored.
- REAUTH is the owner's, or a timer's: RFC 5191 section 5.7 wants a re-authentication before the
  lifetime ends, RFC 5609 has a timer for it at the PAA only.
- PAR[C] is validated before its row is taken, and its AUTH needs EAP's result; so EAP sees the
  payload then, and TxEAP in these rows passes on what EAP concluded.
- RtxTimerStart(PAN[S]?): RFC 5191 repeats PCI until the first PAR, so the answer to a start
  request leaves its timer alone. draft-ietf-pana-pana-12 section 4.3 stops it, and if the PAA keeps
  no state the answer itself is repeated until that PAR.
- WAIT_PUA and WAIT_PEA belong to messages that draft-ietf-pana-pana-12 alone has, PUR and PER. A
  new address is told by PUR, in RFC 5191 by any message; this PaC pings (section 5.6).
- Answers that no outstanding request asked for are discarded as invalid (RFC 5191 section 5.2)
  before they get here; so the row for Rx:PNA[P] outside WAIT_PNA_PING has nothing to do.
"""

from __future__ import annotations

from enum import Enum

from agents.pana.common_table import common_table
from agents.pana.states import Table, Trigger, row


class PacState(Enum):
    """States of RFC 5609 section 7.5, and two for the draft's PUR and PER."""

    INITIAL = "INITIAL"
    WAIT_PAA = "WAIT_PAA"
    WAIT_EAP_MSG = "WAIT_EAP_MSG"
    WAIT_EAP_RESULT = "WAIT_EAP_RESULT"
    WAIT_EAP_RESULT_CLOSE = "WAIT_EAP_RESULT_CLOSE"
    OPEN = "OPEN"
    WAIT_PNA_REAUTH = "WAIT_PNA_REAUTH"
    WAIT_PNA_PING = "WAIT_PNA_PING"
    WAIT_PUA = "WAIT_PUA"
    WAIT_PEA = "WAIT_PEA"
    SESS_TERM = "SESS_TERM"
    CLOSED = "CLOSED"


T = Trigger
P = PacState
ACCESS = (P.OPEN, P.WAIT_PNA_REAUTH, P.WAIT_PNA_PING, P.WAIT_PUA)

PAC_TABLE: Table[PacState] = (
    # INITIAL: PaC-initiated handshake.
    row(
        P.INITIAL,
        T.AUTH_USER,
        (),
        ("Tx:PCI[]", "RtxTimerStart", "SessionTimerReStart(FAILED_SESS_TIMEOUT)"),
        P.INITIAL,
    ),
    # INITIAL: the PAA's start request without and with EAP-Payload.
    row(
        P.INITIAL,
        T.RX_PAR_S,
        ("started", "!exist_avp(EAP-Payload)"),
        (
            "EAP_Restart",
            "Tx:PAN[S](PRF-Algorithm,Integrity-Algorithm)",
            "RtxTimerStart(PAN[S]?)",
        ),
        P.WAIT_PAA,
    ),
    row(
        P.INITIAL,
        T.RX_PAR_S,
        ("started", "exist_avp(EAP-Payload)", "eap_piggyback"),
        ("EAP_Restart", "TxEAP"),
        P.INITIAL,
    ),
    row(
        P.INITIAL,
        T.RX_PAR_S,
        ("started", "exist_avp(EAP-Payload)", "!eap_piggyback"),
        (
            "EAP_Restart",
            "TxEAP",
            "Tx:PAN[S](PRF-Algorithm,Integrity-Algorithm)",
            "RtxTimerStart(PAN[S]?)",
        ),
        P.WAIT_EAP_MSG,
    ),
    row(
        P.INITIAL,
        T.EAP_RESPONSE,
        (),
        ("Tx:PAN[S](EAP-Payload,PRF-Algorithm,Integrity-Algorithm)", "RtxTimerStart(PAN[S]?)"),
        P.WAIT_PAA,
    ),
    # Not in RFC 5609: EAP may be unable to answer the request that PAR[S] carries.
    row(P.INITIAL, T.EAP_DISCARD, (), ("Disconnect",), P.CLOSED),
    row(P.INITIAL, T.EAP_FAILURE, (), ("Disconnect",), P.CLOSED),
    # WAIT_PAA: PAR-PAN exchange.
    row(
        P.WAIT_PAA,
        T.RX_PAR,
        ("!eap_piggyback",),
        ("RtxTimerStop", "TxEAP", "Tx:PAN[](Nonce?)"),
        P.WAIT_EAP_MSG,
    ),
    row(P.WAIT_PAA, T.RX_PAR, ("eap_piggyback",), ("RtxTimerStop", "TxEAP"), P.WAIT_EAP_MSG),
    row(P.WAIT_PAA, T.RX_PAN, (), ("RtxTimerStop",), P.WAIT_PAA),
    # Not in RFC 5609: until a PAR without S has come, a new PAR[S] is valid (RFC 5191 section
    # 5.5); a PAA that keeps no state, or that lost it, answers each PCI with one.
    row(
        P.WAIT_PAA,
        T.RX_PAR_S,
        ("!PAR_SEEN", "!exist_avp(EAP-Payload)"),
        ("Tx:PAN[S](PRF-Algorithm,Integrity-Algorithm)", "RtxTimerStart(PAN[S]?)"),
        P.WAIT_PAA,
    ),
    # WAIT_PAA: PANA result. The RFC lets the timer run on; with PAR[C] in hand, the answer to an
    # own request is not worth waiting for.
    row(
        P.WAIT_PAA,
        T.RX_PAR_C,
        ("PAR.RESULT_CODE==PANA_SUCCESS",),
        ("RtxTimerStop", "TxEAP"),
        P.WAIT_EAP_RESULT,
    ),
    row(
        P.WAIT_PAA,
        T.RX_PAR_C,
        ("!PAR.RESULT_CODE==PANA_SUCCESS",),
        ("RtxTimerStop", "TxEAP"),
        P.WAIT_EAP_RESULT_CLOSE,
    ),
    # WAIT_EAP_MSG.
    row(
        P.WAIT_EAP_MSG,
        T.EAP_RESPONSE,
        ("eap_piggyback",),
        ("Tx:PAN[](EAP-Payload,Nonce?)",),
        P.WAIT_PAA,
    ),
    row(
        P.WAIT_EAP_MSG,
        T.EAP_RESPONSE,
        ("!eap_piggyback",),
        ("Tx:PAR[](EAP-Payload)", "RtxTimerStart"),
        P.WAIT_PAA,
    ),
    row(
        P.WAIT_EAP_MSG,
        T.EAP_DISCARD,
        ("eap_piggyback",),
        ("Tx:PAN[](Nonce?)", "SessionTimerStop", "Disconnect"),
        P.CLOSED,
    ),
    row(
        P.WAIT_EAP_MSG,
        T.EAP_DISCARD,
        ("!eap_piggyback",),
        ("SessionTimerStop", "Disconnect"),
        P.CLOSED,
    ),
    row(P.WAIT_EAP_MSG, T.EAP_FAILURE, (), ("SessionTimerStop", "Disconnect"), P.CLOSED),
    # WAIT_EAP_RESULT and WAIT_EAP_RESULT_CLOSE.
    row(
        P.WAIT_EAP_RESULT,
        T.EAP_SUCCESS,
        (),
        ("Tx:PAN[C](Key-Id?)", "SessionTimerReStart(LIFETIME_SESS_TIMEOUT)", "Authorize"),
        P.OPEN,
    ),
    row(
        P.WAIT_EAP_RESULT,
        T.EAP_FAILURE,
        (),
        ("Tx:PAN[C](Key-Id?)", "SessionTimerStop", "Disconnect"),
        P.CLOSED,
    ),
    row(
        P.WAIT_EAP_RESULT_CLOSE,
        T.EAP_SUCCESS,
        (),
        ("Tx:PAN[C](Key-Id?)", "SessionTimerStop", "Disconnect"),
        P.CLOSED,
    ),
    row(
        P.WAIT_EAP_RESULT_CLOSE,
        T.EAP_FAILURE,
        (),
        ("Tx:PAN[C](Key-Id?)", "SessionTimerStop", "Disconnect"),
        P.CLOSED,
    ),
    # OPEN.
    row(P.OPEN, T.PANA_PING, (), ("Tx:PNR[P]", "RtxTimerStart"), P.WAIT_PNA_PING),
    row(
        P.OPEN,
        T.REAUTH,
        (),
        ("NONCE_SENT=Unset", "Tx:PNR[A]", "RtxTimerStart"),
        P.WAIT_PNA_REAUTH,
    ),
    # Not in RFC 5609: the PaC has another address.
    row(
        P.OPEN,
        T.ADDRESS_CHANGED,
        ("update_message",),
        ("Tx:PUR[]", "RtxTimerStart"),
        P.WAIT_PUA,
    ),
    row(
        P.OPEN,
        T.ADDRESS_CHANGED,
        ("!update_message",),
        ("Tx:PNR[P]", "RtxTimerStart"),
        P.WAIT_PNA_PING,
    ),
    # The RFC leaves out EAP_Restart, which a second EAP conversation needs, and unsets NONCE_SENT
    # in one of these rows only. It takes a PAR in WAIT_PNA_PING too and forgets the ping: if that
    # was lost, the PAA waits for its sequence number for ever. Here the ping is answered first.
    row(
        P.OPEN,
        T.RX_PAR,
        ("eap_renewable", "!eap_piggyback"),
        (
            "NONCE_SENT=Unset",
            "EAP_Restart",
            "TxEAP",
            "Tx:PAN[](Nonce?)",
            "SessionTimerReStart(FAILED_SESS_TIMEOUT)",
        ),
        P.WAIT_EAP_MSG,
    ),
    row(
        P.OPEN,
        T.RX_PAR,
        ("eap_renewable", "eap_piggyback"),
        (
            "NONCE_SENT=Unset",
            "EAP_Restart",
            "TxEAP",
            "SessionTimerReStart(FAILED_SESS_TIMEOUT)",
        ),
        P.WAIT_EAP_MSG,
    ),
    row(
        ACCESS,
        T.RX_PTR,
        (),
        ("RtxTimerStop", "Tx:PTA[]", "SessionTimerStop", "Disconnect"),
        P.CLOSED,
    ),
    # The RFC stops the session timer here; it is harmless and keeps a last deadline.
    row(P.OPEN, T.TERMINATE, (), ("Tx:PTR[]", "RtxTimerStart"), P.SESS_TERM),
    # WAIT_PNA_REAUTH: a PAR is discarded until PNA[A] has come (RFC 5191 section 4.3).
    row(
        P.WAIT_PNA_REAUTH,
        T.RX_PNA_A,
        (),
        ("RtxTimerStop", "EAP_Restart", "SessionTimerReStart(FAILED_SESS_TIMEOUT)"),
        P.WAIT_PAA,
    ),
    # WAIT_PNA_PING.
    row(P.WAIT_PNA_PING, T.RX_PNA_P, (), ("RtxTimerStop", "Alive"), P.OPEN),
    # PUR and PUA are messages of draft-ietf-pana-pana-12 alone (section 5.8).
    row(P.WAIT_PUA, T.RX_PUA, (), ("RtxTimerStop", "Alive"), P.OPEN),
    row(ACCESS, T.RX_PUR, ("key_available",), ("Tx:PUA[]",), None),
    # SESS_TERM.
    row(P.SESS_TERM, T.RX_PTA, (), ("Disconnect",), P.CLOSED),
    *common_table(PacState),
)
