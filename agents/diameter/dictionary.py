"""AVP definitions, commands and applications.

RFC 6733 section 4.5 (base), RFC 4072 section 4 (EAP), RFC 5447 section 4.2 and RFC 5778 section 6
(Mobile IPv6), RFC 6738 section 6 and RFC 6734 section 3 (keys for IKE), RFC 7155 section 4 (NAS),
RFC 6733 section 9.8 (accounting). A P bit is never sent. The Mobile IPv6 AVPs go without M in the
EAP application, so that a server which does not know them passes them over; with M in RFC 5778's.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Any

from agents.diameter.values import (
    ADDRESS,
    ENUMERATED,
    GROUPED,
    IDENTITY,
    IPV6_OCTETS,
    OCTET_STRING,
    SECONDS,
    TIME,
    UNSIGNED32,
    UNSIGNED64,
    URI,
    UTF8_STRING,
    Definition,
)

APPLICATION_COMMON = 0
APPLICATION_ACCOUNTING = 3
"""Accounting apart from the applications that are accounted (RFC 6733 section 9.3)."""

APPLICATION_EAP = 5
APPLICATION_MIP6_IKE = 7
"""EAP in IKEv2 with a home agent (RFC 5778 section 3)."""

APPLICATION_IKE_SK = 11
"""Pre-shared keys for IKE (RFC 6738)."""

APPLICATION_RELAY = 0xFFFFFFFF

EXAMPLE_VENDOR = 32473
"""The enterprise number reserved for examples (RFC 5612): the project owns none."""


class Command(IntEnum):
    """Command codes (RFC 6733 section 3.1, RFC 4072 section 3, RFC 6738 section 5)."""

    CAPABILITIES_EXCHANGE = 257
    RE_AUTH = 258
    ABORT_SESSION = 274
    SESSION_TERMINATION = 275
    DEVICE_WATCHDOG = 280
    DISCONNECT_PEER = 282
    DIAMETER_EAP = 268
    ACCOUNTING = 271
    IKEV2_SK = 329


PEER_COMMANDS = frozenset(
    {Command.CAPABILITIES_EXCHANGE, Command.DEVICE_WATCHDOG, Command.DISCONNECT_PEER}
)
"""What peers say about their connection itself."""

_OF_SESSIONS = frozenset({Command.RE_AUTH, Command.SESSION_TERMINATION, Command.ABORT_SESSION})

COMMANDS: dict[int, frozenset[int]] = {
    APPLICATION_ACCOUNTING: frozenset({Command.ACCOUNTING}),
    APPLICATION_EAP: _OF_SESSIONS | {Command.DIAMETER_EAP},
    APPLICATION_MIP6_IKE: _OF_SESSIONS | {Command.DIAMETER_EAP},
    APPLICATION_IKE_SK: _OF_SESSIONS | {Command.IKEV2_SK},
}
"""The commands of each application."""


class DisconnectCause(IntEnum):
    """Values of Disconnect-Cause (RFC 6733 section 5.4.3)."""

    REBOOTING = 0
    BUSY = 1
    DO_NOT_WANT_TO_TALK_TO_YOU = 2


class AuthRequestType(IntEnum):
    """Values of Auth-Request-Type (RFC 6733 section 8.7)."""

    AUTHENTICATE_ONLY = 1
    AUTHORIZE_ONLY = 2
    AUTHORIZE_AUTHENTICATE = 3


class AuthSessionState(IntEnum):
    """Values of Auth-Session-State (RFC 6733 section 8.11)."""

    STATE_MAINTAINED = 0
    NO_STATE_MAINTAINED = 1


class ReAuthRequestType(IntEnum):
    """Values of Re-Auth-Request-Type (RFC 6733 section 8.12)."""

    AUTHORIZE_ONLY = 0
    AUTHORIZE_AUTHENTICATE = 1


class TerminationCause(IntEnum):
    """Values of Termination-Cause (RFC 6733 section 8.15)."""

    LOGOUT = 1
    SERVICE_NOT_PROVIDED = 2
    BAD_ANSWER = 3
    ADMINISTRATIVE = 4
    LINK_BROKEN = 5
    AUTH_EXPIRED = 6
    USER_MOVED = 7
    SESSION_TIMEOUT = 8


class AccountingRecordType(IntEnum):
    """Values of Accounting-Record-Type (RFC 6733 section 9.8.1)."""

    EVENT = 1
    START = 2
    INTERIM = 3
    STOP = 4


class AccountingRealtimeRequired(IntEnum):
    """Values of Accounting-Realtime-Required (RFC 6733 section 9.8.7)."""

    DELIVER_AND_GRANT = 1
    GRANT_AND_STORE = 2
    GRANT_AND_LOSE = 3


ACCOUNTING_AUTH_METHOD_EAP = 5
"""The Accounting-Auth-Method of EAP (RFC 4072 section 2.7)."""

KEY_TYPE_IKEV2_SK = 3
"""The Key-Type of a pre-shared key for IKE (RFC 6738 section 8.3)."""

SERVICE_TYPE_FRAMED = 2
"""The Service-Type of network access (RFC 2865 section 5.6)."""


class InbandSecurity(IntEnum):
    """Values of Inband-Security-Id (RFC 6733 section 6.10)."""

    NO_INBAND_SECURITY = 0
    TLS = 1


class RedirectHostUsage(IntEnum):
    """Values of Redirect-Host-Usage (RFC 6733 section 6.13)."""

    DONT_CACHE = 0
    ALL_SESSION = 1
    ALL_REALM = 2
    REALM_AND_APPLICATION = 3
    ALL_APPLICATION = 4
    ALL_HOST = 5
    ALL_USER = 6


class Mip6Feature(IntFlag):
    """Bits of MIP6-Feature-Vector (RFC 5447 section 4.2.5)."""

    MIP6_INTEGRATED = 1
    LOCAL_HOME_AGENT_ASSIGNMENT = 2


# RFC 6733
USER_NAME = Definition(1, "User-Name", UTF8_STRING)
CLASS = Definition(25, "Class", OCTET_STRING)
SESSION_TIMEOUT = Definition(27, "Session-Timeout", SECONDS)
PROXY_STATE = Definition(33, "Proxy-State", OCTET_STRING)
EVENT_TIMESTAMP = Definition(55, "Event-Timestamp", TIME)
HOST_IP_ADDRESS = Definition(257, "Host-IP-Address", ADDRESS)
AUTH_APPLICATION_ID = Definition(258, "Auth-Application-Id", UNSIGNED32)
ACCT_APPLICATION_ID = Definition(259, "Acct-Application-Id", UNSIGNED32)
VENDOR_SPECIFIC_APPLICATION_ID = Definition(260, "Vendor-Specific-Application-Id", GROUPED)
REDIRECT_HOST_USAGE = Definition(261, "Redirect-Host-Usage", ENUMERATED)
REDIRECT_MAX_CACHE_TIME = Definition(262, "Redirect-Max-Cache-Time", UNSIGNED32)
SESSION_ID = Definition(263, "Session-Id", UTF8_STRING)
ORIGIN_HOST = Definition(264, "Origin-Host", IDENTITY)
SUPPORTED_VENDOR_ID = Definition(265, "Supported-Vendor-Id", UNSIGNED32)
VENDOR_ID = Definition(266, "Vendor-Id", UNSIGNED32)
FIRMWARE_REVISION = Definition(267, "Firmware-Revision", UNSIGNED32, mandatory=False)
RESULT_CODE = Definition(268, "Result-Code", UNSIGNED32)
PRODUCT_NAME = Definition(269, "Product-Name", UTF8_STRING, mandatory=False)
DISCONNECT_CAUSE = Definition(273, "Disconnect-Cause", ENUMERATED)
AUTH_REQUEST_TYPE = Definition(274, "Auth-Request-Type", ENUMERATED)
AUTH_GRACE_PERIOD = Definition(276, "Auth-Grace-Period", UNSIGNED32)
AUTH_SESSION_STATE = Definition(277, "Auth-Session-State", ENUMERATED)
ORIGIN_STATE_ID = Definition(278, "Origin-State-Id", UNSIGNED32)
FAILED_AVP = Definition(279, "Failed-AVP", GROUPED)
PROXY_HOST = Definition(280, "Proxy-Host", IDENTITY)
ERROR_MESSAGE = Definition(281, "Error-Message", UTF8_STRING, mandatory=False)
ROUTE_RECORD = Definition(282, "Route-Record", IDENTITY)
DESTINATION_REALM = Definition(283, "Destination-Realm", IDENTITY)
PROXY_INFO = Definition(284, "Proxy-Info", GROUPED)
RE_AUTH_REQUEST_TYPE = Definition(285, "Re-Auth-Request-Type", ENUMERATED)
AUTHORIZATION_LIFETIME = Definition(291, "Authorization-Lifetime", SECONDS)
REDIRECT_HOST = Definition(292, "Redirect-Host", URI)
DESTINATION_HOST = Definition(293, "Destination-Host", IDENTITY)
ERROR_REPORTING_HOST = Definition(294, "Error-Reporting-Host", IDENTITY, mandatory=False)
TERMINATION_CAUSE = Definition(295, "Termination-Cause", ENUMERATED)
ORIGIN_REALM = Definition(296, "Origin-Realm", IDENTITY)
EXPERIMENTAL_RESULT = Definition(297, "Experimental-Result", GROUPED)
EXPERIMENTAL_RESULT_CODE = Definition(298, "Experimental-Result-Code", UNSIGNED32)
INBAND_SECURITY_ID = Definition(299, "Inband-Security-Id", UNSIGNED32)
MULTI_ROUND_TIME_OUT = Definition(272, "Multi-Round-Time-Out", SECONDS)
ACCT_INTERIM_INTERVAL = Definition(85, "Acct-Interim-Interval", UNSIGNED32)
ACCT_SESSION_ID = Definition(44, "Acct-Session-Id", OCTET_STRING)
ACCT_MULTI_SESSION_ID = Definition(50, "Acct-Multi-Session-Id", UTF8_STRING)
ACCOUNTING_SUB_SESSION_ID = Definition(287, "Accounting-Sub-Session-Id", UNSIGNED64)
ACCOUNTING_RECORD_TYPE = Definition(480, "Accounting-Record-Type", ENUMERATED)
ACCOUNTING_REALTIME_REQUIRED = Definition(483, "Accounting-Realtime-Required", ENUMERATED)
ACCOUNTING_RECORD_NUMBER = Definition(485, "Accounting-Record-Number", UNSIGNED32)

# RFC 4072
EAP_KEY_NAME = Definition(102, "EAP-Key-Name", OCTET_STRING, mandatory=False)
EAP_PAYLOAD = Definition(462, "EAP-Payload", OCTET_STRING)
EAP_REISSUED_PAYLOAD = Definition(463, "EAP-Reissued-Payload", OCTET_STRING)
EAP_MASTER_SESSION_KEY = Definition(464, "EAP-Master-Session-Key", OCTET_STRING, mandatory=False)
ACCOUNTING_EAP_AUTH_METHOD = Definition(
    465, "Accounting-EAP-Auth-Method", UNSIGNED64, mandatory=False
)

# RFC 5447, RFC 5778 (MIP-Mobile-Node-Address: RFC 4004)
MIP6_FEATURE_VECTOR = Definition(124, "MIP6-Feature-Vector", UNSIGNED64, mandatory=False)
MIP6_HOME_LINK_PREFIX = Definition(125, "MIP6-Home-Link-Prefix", OCTET_STRING, mandatory=False)
MIP_MOBILE_NODE_ADDRESS = Definition(333, "MIP-Mobile-Node-Address", ADDRESS, mandatory=False)
MIP_HOME_AGENT_ADDRESS = Definition(334, "MIP-Home-Agent-Address", ADDRESS, mandatory=False)
MIP_HOME_AGENT_HOST = Definition(348, "MIP-Home-Agent-Host", GROUPED, mandatory=False)
MIP6_AGENT_INFO = Definition(486, "MIP6-Agent-Info", GROUPED, mandatory=False)
MIP_CAREOF_ADDRESS = Definition(487, "MIP-Careof-Address", ADDRESS, mandatory=False)
SERVICE_SELECTION = Definition(493, "Service-Selection", UTF8_STRING)
QOS_RESOURCES = Definition(508, "QoS-Resources", GROUPED)
QOS_CAPABILITY = Definition(578, "QoS-Capability", GROUPED)
CHARGEABLE_USER_IDENTITY = Definition(89, "Chargeable-User-Identity", OCTET_STRING)
MOBILE_IPV6 = frozenset(
    one.code
    for one in (
        MIP6_FEATURE_VECTOR,
        MIP_MOBILE_NODE_ADDRESS,
        MIP6_AGENT_INFO,
        MIP_CAREOF_ADDRESS,
    )
)
"""Codes of those that go with M where a home agent speaks (RFC 5778 section 6)."""

# RFC 6734
KEY = Definition(581, "Key", GROUPED)
KEY_TYPE = Definition(582, "Key-Type", ENUMERATED)
KEYING_MATERIAL = Definition(583, "Keying-Material", OCTET_STRING)
KEY_LIFETIME = Definition(584, "Key-Lifetime", SECONDS)

# RFC 6738
IKEV2_IDENTITY = Definition(590, "IKEv2-Identity", GROUPED)
INITIATOR_IDENTITY = Definition(591, "Initiator-Identity", GROUPED)
ID_TYPE = Definition(592, "ID-Type", ENUMERATED)
IDENTIFICATION_DATA = Definition(593, "Identification-Data", UTF8_STRING)

# This project's own, without M
HOME_AGENT_WISH = Definition(1, "Home-Agent-Wish", ENUMERATED, False, EXAMPLE_VENDOR)
SEALED_ASSIGNMENT = Definition(2, "Sealed-Assignment", OCTET_STRING, False, EXAMPLE_VENDOR)
LOCAL_HOME_AGENT_KEY = Definition(3, "Local-Home-Agent-Key", OCTET_STRING, False, EXAMPLE_VENDOR)
HOME_AGENT_LOAD = Definition(4, "Home-Agent-Load", UNSIGNED32, False, EXAMPLE_VENDOR)

# RFC 7155
STATE = Definition(24, "State", OCTET_STRING)
NAS_IP_ADDRESS = Definition(4, "NAS-IP-Address", OCTET_STRING)
NAS_PORT = Definition(5, "NAS-Port", UNSIGNED32)
SERVICE_TYPE = Definition(6, "Service-Type", ENUMERATED)
FRAMED_PROTOCOL = Definition(7, "Framed-Protocol", ENUMERATED)
FRAMED_IP_ADDRESS = Definition(8, "Framed-IP-Address", OCTET_STRING)
FRAMED_IP_NETMASK = Definition(9, "Framed-IP-Netmask", OCTET_STRING)
FRAMED_ROUTING = Definition(10, "Framed-Routing", ENUMERATED)
FILTER_ID = Definition(11, "Filter-Id", UTF8_STRING)
FRAMED_MTU = Definition(12, "Framed-MTU", UNSIGNED32)
FRAMED_COMPRESSION = Definition(13, "Framed-Compression", ENUMERATED)
REPLY_MESSAGE = Definition(18, "Reply-Message", UTF8_STRING)
CALLBACK_NUMBER = Definition(19, "Callback-Number", UTF8_STRING)
CALLBACK_ID = Definition(20, "Callback-Id", UTF8_STRING)
FRAMED_ROUTE = Definition(22, "Framed-Route", UTF8_STRING)
FRAMED_IPX_NETWORK = Definition(23, "Framed-IPX-Network", UNSIGNED32)
IDLE_TIMEOUT = Definition(28, "Idle-Timeout", UNSIGNED32)
CALLED_STATION_ID = Definition(30, "Called-Station-Id", UTF8_STRING)
CALLING_STATION_ID = Definition(31, "Calling-Station-Id", UTF8_STRING)
NAS_IDENTIFIER = Definition(32, "NAS-Identifier", UTF8_STRING)
FRAMED_APPLETALK_LINK = Definition(37, "Framed-Appletalk-Link", UNSIGNED32)
FRAMED_APPLETALK_NETWORK = Definition(38, "Framed-Appletalk-Network", UNSIGNED32)
FRAMED_APPLETALK_ZONE = Definition(39, "Framed-Appletalk-Zone", OCTET_STRING)
NAS_PORT_TYPE = Definition(61, "NAS-Port-Type", ENUMERATED)
PORT_LIMIT = Definition(62, "Port-Limit", UNSIGNED32)
CONNECT_INFO = Definition(77, "Connect-Info", UTF8_STRING)
CONFIGURATION_TOKEN = Definition(78, "Configuration-Token", OCTET_STRING)
NAS_PORT_ID = Definition(87, "NAS-Port-Id", UTF8_STRING)
FRAMED_POOL = Definition(88, "Framed-Pool", OCTET_STRING)
ORIGINATING_LINE_INFO = Definition(94, "Originating-Line-Info", OCTET_STRING)
NAS_IPV6_ADDRESS = Definition(95, "NAS-IPv6-Address", IPV6_OCTETS)
FRAMED_INTERFACE_ID = Definition(96, "Framed-Interface-Id", UNSIGNED64)
FRAMED_IPV6_PREFIX = Definition(97, "Framed-IPv6-Prefix", OCTET_STRING)
FRAMED_IPV6_ROUTE = Definition(99, "Framed-IPv6-Route", UTF8_STRING)
FRAMED_IPV6_POOL = Definition(100, "Framed-IPv6-Pool", OCTET_STRING)
NAS_FILTER_RULE = Definition(400, "NAS-Filter-Rule", OCTET_STRING)
TUNNELING = Definition(401, "Tunneling", GROUPED)
QOS_FILTER_RULE = Definition(407, "QoS-Filter-Rule", OCTET_STRING, mandatory=False)
ORIGIN_AAA_PROTOCOL = Definition(408, "Origin-AAA-Protocol", ENUMERATED)
ACCT_DELAY_TIME = Definition(41, "Acct-Delay-Time", SECONDS)
ACCT_AUTHENTIC = Definition(45, "Acct-Authentic", ENUMERATED)
ACCT_SESSION_TIME = Definition(46, "Acct-Session-Time", SECONDS)
ACCT_LINK_COUNT = Definition(51, "Acct-Link-Count", UNSIGNED32)
ACCOUNTING_INPUT_OCTETS = Definition(363, "Accounting-Input-Octets", UNSIGNED64)
ACCOUNTING_OUTPUT_OCTETS = Definition(364, "Accounting-Output-Octets", UNSIGNED64)
ACCOUNTING_INPUT_PACKETS = Definition(365, "Accounting-Input-Packets", UNSIGNED64)
ACCOUNTING_OUTPUT_PACKETS = Definition(366, "Accounting-Output-Packets", UNSIGNED64)
ACCOUNTING_AUTH_METHOD = Definition(406, "Accounting-Auth-Method", ENUMERATED)

BY_CODE: dict[tuple[int, int | None], Definition[Any]] = {
    (definition.code, definition.vendor): definition
    for definition in tuple(globals().values())
    if isinstance(definition, Definition)
}
"""Every AVP known here, by code and vendor."""
