"""The paper's hosts, with 40 ms between access router and home network."""

from __future__ import annotations

from dataclasses import replace

from topologies import paper
from topologies.model import Shape

TOPOLOGY = replace(paper.TOPOLOGY, name="far-home").with_links({"core": Shape(delay=0.04)})
