"""The variants of results folders, each with its approach, its settings, and what was counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import msgspec

from testbed.analysis.fits import Fit, fits
from testbed.experiment.spec import Spec
from testbed.results.folder import Results, flat
from testbed.results.runs import Run


@dataclass(frozen=True, slots=True)
class Variant:
    """A variant of one results folder, its approach, and the folder's experiment if it is one."""

    results: Results
    name: str
    approach: str
    spec: Spec | None

    @property
    def runs(self) -> list[Run]:
        """Its bootstraps."""
        return self.results.bootstrapped(self.name)

    @property
    def settings(self) -> dict[str, Any]:
        """The effective settings and delays by their dotted paths; empty if they are not known."""
        if not self.spec:
            return {}
        links = {one.name: asdict(one.shape) for one in self.spec.topology(self.name).links}
        return dict(flat(msgspec.to_builtins(self.spec.settings(self.name)) | {"links": links}))

    def messages(self, protocol: str, link: str | None = None) -> list[int]:
        """Return how many messages of a protocol each run had, on one link or on all."""
        return [
            sum(
                one.protocols[protocol].messages
                for name, one in run.traffic.links.items()
                if link in (None, name) and protocol in one.protocols
            )
            for run in self.runs
            if run.traffic
        ]

    def round_trips(self, link: str) -> list[int]:
        """Return the round trips counted on a link in each run."""
        return [
            run.traffic.links[link].round_trips
            for run in self.runs
            if run.traffic and link in run.traffic.links
        ]

    @property
    def fit(self) -> Fit | None:
        """The fit of a sweep over delays alone."""
        found = fits(self.results, self.name)
        return found[0] if len(found) == 1 else None


def variants(loaded: Sequence[Results]) -> list[Variant]:
    """Return every variant with its approach as spec.toml names it."""
    found = []
    for one in loaded:
        for name in one.variants:
            spec = one.spec if one.spec and name in one.spec.variants else None
            found.append(Variant(one, name, spec.variants[name].approach if spec else "", spec))
    return found
