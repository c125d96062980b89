"""The PAA's state transition table for one session (RFC 5609 sections 6.6 and 8.4).

Departures from the RFC's rows:

- This PAA keeps state from the first PCI and therefore retransmits PAR[S] although it carries no
  EAP-Payload unless OPTIMIZED_INIT is set. Its session timer runs from there to EAP's end, so that
  one deadline holds for all of EAP; re-authentication has one too, which does not outlast the
  lifetime granted before. With EAP's success the lifetime begins: FAILED_SESS_TIMEOUT is for the
  case without "an explicit EAP success or failure notification" (RFC 5609 section 7.2), and the PaC
  that has answered PAR[C] is open however often its answer is lost. The last exchange ends by
  its answer or by its last retransmission (RFC 5191 section 5.2).
- EAP's failure in a re-authentication ends the access at once; the RFC waits for PAN[C].
- LOST: no answer came to the last retransmission, or none in time in a re-authentication. The
  session is terminated (RFC 5191 section 5.2), and the access closed; but the PaC may know nothing
  of that and believe itself open. So its SA is kept for the rest of its lifetime, and a request
  from it is answered: with the request that it never answered, so that the sequence numbers agree,
  and then by PTR. A PAR is not put again: a PaC that has got it has ended by its own deadline.
- ADDRESS_CHANGED: RFC 5191 section 5.6 moves the session at once.
- A PAA that keeps no state sends its start request from no state at all; its session begins in
  INITIAL with PAN[S].
- EAP_DISCARD has no row: what the AAA discards it answers with its last request. Nor has a new
  EAP_REQUEST in WAIT_PAN_OR_PAR: PANA is reliable, EAP need not retransmit.
- WAIT_PEA, Rx:PER, Rx:PEA and Rx:PUR belong to messages that draft-ietf-pana-pana-12 alone has.
- It always wants a PANA SA: generate_pana_sa() is true, and Authorize() fails without an MSK
  (RFC 5609 section 6.1).
- Answers that no outstanding request asked for are discarded as invalid (RFC 5191 section 5.2)
  before they get here.
"""

from __future__ import annotations

from enum import Enum

from agents.pana.common_table import common_table
from agents.pana.states import Table, Trigger, row


class PaaState(Enum):
    """States of RFC 5609 section 8.4, one for the draft's PER, and one for a silent PaC."""

    INITIAL = "INITIAL"
    WAIT_EAP_MSG = "WAIT_EAP_MSG"
    WAIT_PAN_OR_PAR = "WAIT_PAN_OR_PAR"
    WAIT_SUCC_PAN = "WAIT_SUCC_PAN"
    WAIT_FAIL_PAN = "WAIT_FAIL_PAN"
    OPEN = "OPEN"
    WAIT_PNA_PING = "WAIT_PNA_PING"
    WAIT_PEA = "WAIT_PEA"
    LOST = "LOST"
    SESS_TERM = "SESS_TERM"
    CLOSED = "CLOSED"


T = Trigger
P = PaaState

PAA_TABLE: Table[PaaState] = (
    # INITIAL: PCI, then PAR[S] with EAP-Payload (OPTIMIZED_INIT) or without.
    row(
        P.INITIAL,
        T.RX_PCI,
        ("OPTIMIZED_INIT",),
        ("SessionTimerReStart(FAILED_SESS_TIMEOUT)", "EAP_Restart"),
        P.INITIAL,
    ),
    row(
        P.INITIAL,
        T.RX_PCI,
        ("!OPTIMIZED_INIT",),
        (
            "SessionTimerReStart(FAILED_SESS_TIMEOUT)",
            "Tx:PAR[S](PRF-Algorithm,Integrity-Algorithm)",
            "RtxTimerStart",
        ),
        P.INITIAL,
    ),
    row(
        P.INITIAL,
        T.EAP_REQUEST,
        (),
        ("Tx:PAR[S](EAP-Payload,PRF-Algorithm,Integrity-Algorithm)", "RtxTimerStart"),
        P.INITIAL,
    ),
    row(P.INITIAL, T.RX_PAN_S, ("exist_avp(EAP-Payload)",), ("TxEAP",), P.WAIT_EAP_MSG),
    row(
        P.INITIAL,
        T.RX_PAN_S,
        ("!OPTIMIZED_INIT", "!exist_avp(EAP-Payload)"),
        ("EAP_Restart",),
        P.WAIT_EAP_MSG,
    ),
    row(
        P.INITIAL,
        T.RX_PAN_S,
        ("OPTIMIZED_INIT", "!exist_avp(EAP-Payload)"),
        (),
        P.WAIT_PAN_OR_PAR,
    ),
    # WAIT_EAP_MSG.
    row(
        P.WAIT_EAP_MSG,
        T.EAP_REQUEST,
        (),
        ("Tx:PAR[](EAP-Payload,Nonce?)", "RtxTimerStart"),
        P.WAIT_PAN_OR_PAR,
    ),
    row(
        P.WAIT_EAP_MSG,
        T.EAP_FAILURE,
        (),
        ("Deauthorise", "Tx:PAR[C](EAP-Payload?,Key-Id?)", "RtxTimerStart"),
        P.WAIT_FAIL_PAN,
    ),
    row(
        P.WAIT_EAP_MSG,
        T.EAP_SUCCESS,
        ("Authorize",),
        (
            "SessionTimerReStart(LIFETIME_SESS_TIMEOUT)",
            "Tx:PAR[C](EAP-Payload?,Key-Id?)",
            "RtxTimerStart",
        ),
        P.WAIT_SUCC_PAN,
    ),
    row(
        P.WAIT_EAP_MSG,
        T.EAP_SUCCESS,
        ("!Authorize",),
        ("Deauthorise", "Tx:PAR[C](EAP-Payload?,Key-Id?)", "RtxTimerStart"),
        P.WAIT_FAIL_PAN,
    ),
    # RFC 5191 section 4.1 is silent to the PaC; the draft's section 4.4 wants an error message.
    row(
        P.WAIT_EAP_MSG,
        T.EAP_TIMEOUT,
        ("!error_message",),
        ("SessionTimerStop", "Disconnect"),
        P.CLOSED,
    ),
    row(
        P.WAIT_EAP_MSG,
        T.EAP_TIMEOUT,
        ("error_message",),
        ("Deauthorise", "Tx:PER[]", "RtxTimerStart"),
        P.WAIT_PEA,
    ),
    # WAIT_SUCC_PAN and WAIT_FAIL_PAN.
    row(
        P.WAIT_SUCC_PAN,
        T.RX_PAN_C,
        (),
        ("RtxTimerStop", "SessionTimerReStart(LIFETIME_SESS_TIMEOUT)", "Authorised"),
        P.OPEN,
    ),
    row(P.WAIT_FAIL_PAN, T.RX_PAN_C, (), ("RtxTimerStop", "Disconnect"), P.CLOSED),
    # OPEN and WAIT_PNA_PING. The RFC takes PNR[A] in the latter too and forgets the ping: if that
    # was lost, the PaC waits for its sequence number for ever. Here the ping is answered first.
    row(
        P.OPEN,
        T.RX_PNR_A,
        (),
        (
            "NONCE_SENT=Unset",
            "SessionTimerReStart(FAILED_SESS_TIMEOUT)",
            "EAP_Restart",
            "Tx:PNA[A]",
        ),
        P.WAIT_EAP_MSG,
    ),
    # Not in RFC 5609: both sides start a re-authentication at once. The PaC discards the PAA's PAR
    # until it has this answer (RFC 5191 section 4.3), and takes its retransmission then.
    row((P.WAIT_EAP_MSG, P.WAIT_PAN_OR_PAR), T.RX_PNR_A, ("key_available",), ("Tx:PNA[A]",), None),
    row(
        P.OPEN,
        T.REAUTH,
        (),
        ("NONCE_SENT=Unset", "SessionTimerReStart(FAILED_SESS_TIMEOUT)", "EAP_Restart"),
        P.WAIT_EAP_MSG,
    ),
    row(
        P.OPEN,
        T.REAUTH_TIMEOUT,
        (),
        ("NONCE_SENT=Unset", "SessionTimerReStart(FAILED_SESS_TIMEOUT)", "EAP_Restart"),
        P.WAIT_EAP_MSG,
    ),
    row(P.OPEN, T.PANA_PING, (), ("Tx:PNR[P]", "RtxTimerStart"), P.WAIT_PNA_PING),
    # The RFC stops the session timer here; it is harmless and keeps a last deadline. It leaves the
    # access until PTA has come, which a PaC that is put out need not send.
    row(P.OPEN, T.TERMINATE, (), ("Deauthorise", "Tx:PTR[]", "RtxTimerStart"), P.SESS_TERM),
    row(
        (P.OPEN, P.WAIT_PNA_PING),
        T.RX_PTR,
        (),
        ("RtxTimerStop", "Tx:PTA[]", "SessionTimerStop", "Disconnect"),
        P.CLOSED,
    ),
    row(P.WAIT_PNA_PING, T.RX_PNA_P, (), ("RtxTimerStop", "Alive"), P.OPEN),
    # WAIT_PAN_OR_PAR. While the PaC's nonce is awaited its own PAR does not count as an answer:
    # the PAN that carries the nonce was lost or overtaken and must still come.
    row(
        P.WAIT_PAN_OR_PAR,
        T.RX_PAR,
        ("!NONCE_AWAITED",),
        ("TxEAP", "RtxTimerStop", "Tx:PAN[]"),
        P.WAIT_EAP_MSG,
    ),
    row(
        P.WAIT_PAN_OR_PAR,
        T.RX_PAN,
        ("exist_avp(EAP-Payload)",),
        ("TxEAP", "RtxTimerStop"),
        P.WAIT_EAP_MSG,
    ),
    row(
        P.WAIT_PAN_OR_PAR,
        T.RX_PAN,
        ("!exist_avp(EAP-Payload)",),
        ("RtxTimerStop",),
        P.WAIT_PAN_OR_PAR,
    ),
    row(
        P.WAIT_PAN_OR_PAR,
        T.EAP_FAILURE,
        (),
        ("RtxTimerStop", "SessionTimerStop", "Disconnect"),
        P.CLOSED,
    ),
    row(
        P.WAIT_PAN_OR_PAR,
        T.EAP_TIMEOUT,
        (),
        ("RtxTimerStop", "SessionTimerStop", "Disconnect"),
        P.CLOSED,
    ),
    # Not in RFC 5609: a message came from another place, which has to answer.
    row(P.OPEN, T.ADDRESS_CHANGED, (), ("Tx:PNR[P]", "RtxTimerStart"), P.WAIT_PNA_PING),
    row(
        (P.WAIT_PNA_PING, P.WAIT_PAN_OR_PAR, P.WAIT_SUCC_PAN),
        T.ADDRESS_CHANGED,
        (),
        ("Retransmit",),
        None,
    ),
    # Not in RFC 5609: LOST.
    row(
        P.WAIT_PAN_OR_PAR,
        T.RTX_TIMEOUT,
        ("!RTX_COUNTER<RTX_MAX_NUM", "LIFETIME_LEFT"),
        ("Withdraw", "Lose"),
        P.LOST,
    ),
    row(
        (P.WAIT_SUCC_PAN, P.WAIT_PNA_PING, P.SESS_TERM),
        T.RTX_TIMEOUT,
        ("!RTX_COUNTER<RTX_MAX_NUM", "LIFETIME_LEFT"),
        ("Lose",),
        P.LOST,
    ),
    row(P.WAIT_EAP_MSG, T.SESS_TIMEOUT, ("LIFETIME_LEFT",), ("Lose",), P.LOST),
    row(P.WAIT_PAN_OR_PAR, T.SESS_TIMEOUT, ("LIFETIME_LEFT",), ("Withdraw", "Lose"), P.LOST),
    row(P.LOST, T.PAC_HEARD, ("REQUEST_OUT",), ("Retransmit",), None),
    row(P.LOST, T.PAC_HEARD, ("!REQUEST_OUT",), ("Tx:PTR[]", "RtxTimerStart"), P.SESS_TERM),
    row(P.LOST, T.RX_PNA_P, (), ("Tx:PTR[]", "RtxTimerStart"), P.SESS_TERM),
    row(P.LOST, T.RX_PAN, (), ("Tx:PTR[]", "RtxTimerStart"), P.SESS_TERM),
    row(P.LOST, T.RX_PAN_C, (), ("Tx:PTR[]", "RtxTimerStart"), P.SESS_TERM),
    row(P.LOST, T.RX_PTA, (), ("Disconnect",), P.CLOSED),
    row(P.LOST, T.RX_PTR, (), ("Tx:PTA[]", "Disconnect"), P.CLOSED),
    # SESS_TERM.
    row(P.SESS_TERM, T.RX_PTA, (), ("RtxTimerStop", "Disconnect"), P.CLOSED),
    # Not in RFC 5609: a PaC that lost its state opens a new session; the old one goes once EAP has
    # proved the new one.
    row((state for state in P if state is not P.CLOSED), T.REPLACED, (), ("Disconnect",), P.CLOSED),
    # A message of draft-ietf-pana-pana-12 alone (section 5.8). It is taken in a re-authentication
    # too: its sender waits for PUA before it takes a PAR.
    row(
        (P.OPEN, P.WAIT_PNA_PING, P.WAIT_EAP_MSG, P.WAIT_PAN_OR_PAR),
        T.RX_PUR,
        ("key_available",),
        ("Tx:PUA[]",),
        None,
    ),
    *common_table(PaaState),
)
