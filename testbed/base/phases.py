"""The names of a bootstrap's phases, as results and charts have them."""

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
