"""The names of a bootstrap's phases, as results and charts have them."""

from collections.abc import Collection

PHASES = ("pana", "pana_to_ike", "ike", "ike_to_binding", "binding")
"""From the first message to the last one, without a gap; `testbed.trace.phases` finds them."""

TOTAL = "total"
DISCOVERY, OVERLAP = "discovery", "overlap"
TITLES = {
    "pana": "PANA",
    "pana_to_ike": "PANA to IKE",
    "ike": "IKE",
    "ike_to_binding": "IKE to BU",
    "binding": "BU/BA",
    "total": "total",
    "discovery": "discovery",
    "overlap": "overlap",
}

ACCESS = {"pana": TITLES["pana"], "802.1x": "802.1X"}
"""What the first phase is called by the protocol of network access."""


def titles(protocols: Collection[str]) -> dict[str, str]:
    """Return the phases' titles where these are the protocols of access; of several, `access`."""
    own, *others = {ACCESS[name] for name in protocols} or {TITLES["pana"]}
    access = "access" if others else own
    return {name: title.replace(TITLES["pana"], access) for name, title in TITLES.items()}
