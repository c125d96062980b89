"""The topology dhcpv6 with a home agent in the visited network, on a link of its own behind B.

V visited home agent ---visited--- B
D DHCPv6 server -------service---- B
A mobile node -------access------- B access router ---core--- C home network ---home--- CN
"""

from __future__ import annotations

from topologies import dhcpv6
from topologies.model import Host, HostRole
from topologies.visited import ROUTES, with_visited_link

TOPOLOGY = with_visited_link(
    dhcpv6.TOPOLOGY,
    "dhcpv6-visited",
    Host("V", HostRole.VISITED_HOME_AGENT, forwards=True, routes=ROUTES),
    "2001:db8:200::2/64",
)
