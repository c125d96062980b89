"""The attacks by their names."""

from __future__ import annotations

from agents.nodes.attacker import (
    clients,
    diameter,
    ike,
    mobility,
    neighbours,
    pana,
    rogue_paa,
    routes,
    subscriber,
)
from agents.nodes.attacker.attack import Attack

ATTACKS: dict[str, type[Attack]] = {
    "pana-replay": pana.Replay,
    "pana-flip": pana.Flip,
    "pana-termination": pana.Termination,
    "service-theft": pana.ServiceTheft,
    "updates-in-clear": mobility.UpdatesInClear,
    "replayed-updates": mobility.ReplayedUpdates,
    "rogue-paa": rogue_paa.RoguePaa,
    "rogue-paa-md5": rogue_paa.Md5Paa,
    "rogue-paa-other-ca": rogue_paa.OtherCaPaa,
    "client-md5": clients.Md5Client,
    "client-old-tls": clients.OldTlsClient,
    "refused-client": clients.Refused,
    "greedy-client": clients.Greedy,
    "diameter-stranger": diameter.Stranger,
    "diameter-false-router": diameter.FalseRouter,
    "diameter-without-tls": diameter.WithoutTls,
    "ike-forged-end": ike.ForgedEnd,
    "home-address-claim": neighbours.Claim,
    "home-address-spoof": neighbours.Spoof,
    "home-address-denial": neighbours.DenyHomeAddress,
    "others-home-address": subscriber.OthersHomeAddress,
    "false-care-of": subscriber.FalseCareOf,
    "forged-routes": routes.ForgedRoutes,
}
