"""mip6lab graph: networks as pictures and as Mermaid's text."""

import re
from itertools import combinations
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

import topologies
from testbed.cli import main
from testbed.report import graph
from testbed.report.catalogue import load_experiment
from testbed.results import folder as results
from tests.testbed import sample

SVG = "{http://www.w3.org/2000/svg}"


def invoke(*words):
    return CliRunner().invoke(main, ["graph", *map(str, words)])


def texts(svg):
    return [
        "".join(one.itertext()).strip() for one in ElementTree.fromstring(svg).iter(f"{SVG}text")
    ]


@pytest.mark.parametrize("name", topologies.names())
def test_every_host_and_link_of_a_topology_has_a_place_of_its_own(name):
    topology = topologies.load(name)

    drawn = graph.of_topology(topology)

    assert sum(box.number for box in drawn.boxes) == len(topology.hosts)
    assert [wire.link for wire in drawn.wires] == list(topology.links)
    places = [(box.column, box.row) for box in drawn.boxes]
    assert len(set(places)) == len(places)
    for wire in drawn.wires:
        assert {end.host for end in wire.link.ends} >= {box.host.name for box in wire.boxes}


def test_a_picture_says_who_is_who_and_what_links_do():
    done = invoke("paper", "--set", "links.access.delay=0.02", "--set", "links.core.loss=5")

    assert done.exit_code == 0, done.output
    said = texts(done.output)
    for text in (
        "Experiment paper",
        "all variants: topology paper, approach pana-ikev1",
        "access router",
        "runs access router",
        "access: autoconfigured",
        "access: 2001:db8:a::1/64",
        "100 Mbit/s, 20 ms",
        "100 Mbit/s, no delay, 5 % loss",
        "2001:db8:a::/64 advertised",
    ):
        assert text in said


def test_a_topology_is_drawn_without_programs():
    said = texts(invoke("mobility").output)

    assert "Topology mobility" in said
    assert {"A", "B", "B2", "C", "CN", "V", "access2"} <= set(said)
    assert not [text for text in said if text.startswith("runs ")]


def test_networks_that_are_alike_are_drawn_once():
    spec = load_experiment("approaches")

    drawn = graph.of_experiment(spec)

    assert sorted(name for one in drawn for name in one.variants) == sorted(spec.variants)
    for one, other in combinations(drawn, 2):
        runs = [[(box.host.name, box.programs) for box in each.boxes] for each in (one, other)]
        assert one.topology != other.topology or runs[0] != runs[1]
    [kea] = {box.host.name for one in drawn for box in one.boxes if "kea" in box.programs}
    assert kea == "D"


def test_of_very_many_mobile_nodes_a_few_boxes_are_drawn():
    spec = load_experiment("storm_large")

    [drawn] = graph.of_experiment(spec)

    assert len(drawn.boxes) < 40
    assert "50000 mobile nodes, the first 6 of 40 access routers" in drawn.heading
    assert drawn.boxes[0].title == "MN0001 and 1249 others"


@pytest.mark.parametrize("name", ["mobility", "attacked", "operator", "triangle"])
def test_mermaid_has_a_node_for_each_box_and_joins_only_these(name):
    done = invoke(name, "--format", "mermaid")

    assert done.output.startswith("flowchart LR\n")
    nodes = re.findall(r"^ *(\w+)(?:\[|\(\[)\"", done.output, re.M)
    joined = re.findall(r"^ *(\w+) (?:---|-\.-)(?:\|[^|]*\|)? (\w+)$", done.output, re.M)
    drawn = graph.of_topology(topologies.load(name))
    assert len(nodes) == len(set(nodes)) == len(drawn.boxes) + sum(w.is_bus for w in drawn.wires)
    ends = sum(len(w.boxes) + len(w.later) if w.is_bus else 1 for w in drawn.wires)
    assert len(joined) == ends
    assert {name for pair in joined for name in pair} <= set(nodes)


def test_several_networks_are_framed_in_mermaid():
    text = invoke("handover", "--format", "mermaid").output

    frames = re.findall(r'^  subgraph (g\d+) \["(.*?): topology mobility"\]$', text, re.M)
    assert frames == [("g1", "static"), ("g2", "pana-ikev1, pana-fast"), ("g3", "pana-ikev2")]
    assert len(re.findall(r"^  end$", text, re.M)) == len(frames)


def test_it_is_written_to_a_file(tmp_path):
    place = tmp_path / "one.svg"

    done = invoke("paper", "--variant", "resident", "--output", place)

    assert done.output == f"{place}\n"
    assert "resident: topology paper, approach pana-ikev1" in texts(place.read_text())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["papr"], "there is no experiment or topology papr, perhaps paper"),
        (["paper", "--variant", "x"], "there is no variant x"),
        (["mobility", "--set", "links.access.delay=1"], "mobility is a topology"),
        (["mobility", "--variant", "x"], "mobility is a topology"),
        (["paper", "--output", "/nowhere/x.svg"], "/nowhere/x.svg: No such file"),
        (["paper", "--format", "dot"], "'dot' is not one of 'svg', 'mermaid'"),
    ],
)
def test_what_cannot_be_drawn_is_told(words, said):
    done = invoke(*words)

    assert done.exit_code == 2
    assert said in done.output
    assert "Traceback" not in done.output


def test_the_report_has_the_network(tmp_path, one_format):  # noqa: ARG001
    folder = sample.make(tmp_path, runs=1, failed=0, captures=False)

    done = CliRunner().invoke(main, ["report", str(folder)])

    assert done.exit_code == 0, done.output
    page = (folder / "report.html").read_text()
    assert '<h2 id="topology">Topology</h2>' in page
    assert 'href="figures/topology.svg"' in page
    assert "C,home network" in (folder / "figures" / "topology.csv").read_text()
    assert results.load(folder).warnings == []
