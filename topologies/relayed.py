"""The topology routed, whose first-hop router relays PANA to the access router (RFC 6345).

A mobile node ---access--- R PANA relay ---backhaul--- B access router
B access router ---core--- C home network ---home--- CN
"""

from __future__ import annotations

from topologies import paper
from topologies.model import HostRole
from topologies.routed import with_router

TOPOLOGY = with_router(paper.TOPOLOGY, "relayed", HostRole.PANA_RELAY)
