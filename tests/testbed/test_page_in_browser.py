"""report.html as a browser shows it: the ladder by mouse and keys, sizes, colours, axe's rules."""

from pathlib import Path

import pytest

from testbed.report import index, packed, page
from testbed.results import folder as results
from testbed.results.runs import Run
from tests.testbed import sample
from tests.testbed.browser import Browser, needs_chromium
from tests.testbed.simulated import carry_out

AXE = Path(__file__).parents[1] / "vendor" / "axe-core" / "axe.min.js"
EXPERIMENT = """
name = "shown"
title = "Two approaches"
approach = "pana-ikev1"
topology = "paper"
runs = 2

[settings]
duplicate_address_detection = false

[variants.ikev1]
description = "as in the paper"

[variants.ikev2]
approach = "pana-ikev2"
"""
DRAWN = "document.querySelector('.drawing .message')"
TEXT = "document.querySelector('[data-is=detail]').textContent"
EVIL = "</script><img src=x onerror=window.pwned=1><script>window.pwned=1</script>"


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    needs_chromium()
    return carry_out(tmp_path_factory.mktemp("shown"), EXPERIMENT, drawn=True)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    needs_chromium()
    made = Browser(tmp_path_factory.mktemp("profile"))
    yield made
    made.close()


@pytest.fixture
def opened(browser, shown):
    browser.look()
    browser.open(shown / "report.html", DRAWN)
    return browser


def choose(browser, name, value):
    browser.run(
        f"(() => {{ const one = document.querySelector('[data-is={name}]'); one.value = '{value}';"
        " one.dispatchEvent(new Event('change')); })()"
    )


def texts(selector):
    return f"[...document.querySelectorAll('{selector}')].map((one) => one.textContent)"


def faults(browser):
    browser.run(AXE.read_text(encoding="utf-8"))
    found = browser.run("axe.run().then((found) => found.violations)")
    return [
        (one["id"], [node["target"] for node in one["nodes"]][:3])
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


def test_it_opens_from_disk_without_a_complaint(opened):
    assert opened.errors == []
    assert opened.run("document.querySelectorAll('.drawing .message').length") > 20
    assert opened.run("performance.getEntriesByType('resource').length") == 0


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 768, 1280])
def test_nothing_is_wider_than_the_window_and_axe_finds_no_serious_fault(
    browser, shown, width, dark
):
    browser.look(width, dark=dark)
    browser.open(shown / "report.html", DRAWN)

    assert browser.run("document.documentElement.scrollWidth") <= width
    assert faults(browser) == []


def test_a_message_tells_its_fields_to_the_mouse_and_to_the_keys(opened):
    opened.run("document.querySelector('[data-is=stage]').focus()")
    told = []
    for _ in range(8):
        opened.press("ArrowDown")
        told.append(opened.run(TEXT))
    starts = [text.startswith("PANA") for text in told]
    assert told[starts.index(True)].startswith("PANA PCI")
    assert any("PRF-Algorithm HMAC" in text for text in told)
    opened.press("ArrowUp")
    assert opened.run(TEXT) == told[-2]

    opened.run(
        "[...document.querySelectorAll('.message')].find((one) => one.textContent.includes('DER'))"
        ".dispatchEvent(new MouseEvent('click', {bubbles: true}))"
    )
    opened.wait(f"{TEXT}.includes('Origin-Host') && {TEXT}.includes('mn@home.test')")


def test_zoom_goes_from_the_whole_bootstrap_to_100_microseconds_and_back(opened):
    span = "document.querySelector('[data-is=span]').textContent"
    whole = opened.run(span)
    opened.run("document.querySelector('[data-is=stage]').focus()")
    opened.press("ArrowDown")
    for _ in range(30):
        opened.press("+")
    opened.wait(f"{span}.includes('µs')")
    opened.wait(
        f"(([a, b]) => b - a < 0.11)({span}.match(/-?[0-9.]+/g).map(Number))"
        f" || {span}.split(' ').filter((one) => one === 'µs').length === 2"
    )
    opened.press("0")
    opened.wait(f"{span} === '{whole}'")


def test_the_critical_path_alone_has_fewer_messages(opened):
    count = "document.querySelectorAll('.drawing .message').length"
    every = opened.run(count)
    opened.run("document.querySelector('[data-is=criticalOnly]').click()")
    opened.wait(f"{count} < {every} && {count} > 10")
    assert opened.run("document.querySelectorAll('.message:not(.critical)').length") == 0


def test_two_runs_stand_side_by_side_on_one_axis(opened, shown):
    loaded = results.load(shown)
    one, other = loaded.of("ikev1")[0].run, loaded.of("ikev2")[0].run
    choose(opened, "variant", "ikev1")
    choose(opened, "run", one)
    choose(opened, "other", other)
    opened.wait("document.querySelectorAll('.drawing svg').length === 2")

    ticks = "[...d.querySelectorAll('.tick')].map((t) => t.getAttribute('y1')).join()"
    places = f"[...document.querySelectorAll('.drawing')].map((d) => {ticks})"
    opened.wait(f"{places}.every((one, i, all) => one && one === all[0])")
    titles = opened.run(texts(".panel-title b"))
    assert titles == ["ikev1", "ikev2"]
    assert f"run={one}&with={other}" in opened.run("location.hash")


def test_the_files_of_the_run_are_there(opened, shown):
    links = opened.run(
        "[...document.querySelectorAll('.files a')].map((a) => a.getAttribute('href'))"
    )
    assert any(link.endswith(".pcapng") for link in links)
    assert all((shown / link).exists() for link in links)


def test_a_table_is_sorted_by_the_number_in_a_column(opened):
    sort = "document.querySelector('#runs').parentElement.querySelectorAll('thead th')[3]"
    cells = texts("section:has(#runs) tbody td:nth-child(4)")
    opened.run(f"{sort}.querySelector('button').click()")
    times = [float(text.split()[0]) for text in opened.run(cells)]
    assert times == sorted(times)
    assert opened.run(f"{sort}.getAttribute('aria-sort')") == "ascending"


def test_ladders_beside_the_page_are_loaded_when_they_are_asked_for(browser, shown, monkeypatch):
    monkeypatch.setattr(packed, "ROOM", 0)
    loaded = results.load(shown)
    try:
        page.write(loaded)
        beside = [results.run_folder(shown, run.run) / "ladder.js" for run in loaded.runs]
        assert all(path.exists() for path in beside)
        browser.open(shown / "report.html", DRAWN)
        assert browser.errors == []
        beside[0].unlink()
        choose(browser, "variant", loaded.runs[0].variant)
        choose(browser, "run", loaded.runs[0].run)
        problem = "document.querySelector('[data-is=problem]').textContent"
        browser.wait(f"{problem}.includes('ladder.js') || {DRAWN}")
    finally:
        monkeypatch.undo()
        page.write(loaded)
    assert not any(path.exists() for path in beside)


def test_nothing_in_results_becomes_part_of_the_page(browser, tmp_path):
    folder = sample.make(tmp_path, runs=2, failed=0)
    run = Run(run=99, variant=EVIL, seed=1, status="failed", reason=EVIL)
    results.append(folder, run)
    events = results.run_folder(folder, 1) / "events.jsonl"
    first = results.load(folder).runs[0]
    events.write_text(
        '{"t": 1, "host": "A", "agent": "pana", "event": "Started"}\n'
        '{"t": 2, "host": "A", "agent": "x", "event": "<img src=x onerror=window.pwned=1>"}\n'
    )
    path = page.write(results.load(folder))

    browser.open(path.with_suffix(".html"), DRAWN)
    choose(browser, "variant", first.variant)
    browser.wait(DRAWN)

    assert browser.run("window.pwned") is None
    assert browser.run("document.querySelectorAll('img[src=x]').length") == 0
    assert browser.run("document.body.textContent").count("onerror") >= 2


def test_the_index_of_all_results(browser, shown):
    path = index.write(shown.parents[1])

    browser.look()
    browser.open(path)
    assert browser.errors == []
    assert faults(browser) == []
    assert browser.run("document.querySelector('section a').getAttribute('href')") == (
        f"shown/{shown.name}/report.html"
    )
