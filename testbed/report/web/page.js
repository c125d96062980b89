"use strict";
/* The chart of runs, and the start of everything. */

/** Every run a point, by variant; a click opens its ladder. */
function distribution(root) {
  const phase = root.querySelector("select").value, place = root.querySelector("[data-is=chart]");
  const points = PAGE.runs.filter((run) => run.phases && run.phases[phase] !== undefined && run.status === "ok");
  const variants = PAGE.variants.filter((name) => points.some((run) => run.variant === name));
  const values = points.map((run) => run.phases[phase]).filter((value) => value > 0);
  if (!values.length) return place.replaceChildren(make("p", {}, "No run has this phase."));
  const width = Math.max(260, place.clientWidth), row = 46, low = Math.min(...values), high = Math.max(...values);
  const bottom = 26, height = variants.length * row + bottom, log = high > 12 * low;
  const [from, to] = log ? [low / 1.15, high * 1.15] : [Math.max(0, low - 0.06 * (high - low || high)), high + 0.06 * (high - low || high)];
  const scale = log ? Math.log : (value) => value;
  const x = (value) => 10 + ((scale(Math.max(value, from)) - scale(from)) / (scale(to) - scale(from))) * (width - 20);
  const svg = draw("svg", { width, height, role: "img", "aria-label": `${PAGE.titles[phase]} of ${points.length} runs, a point each; the table of runs has the numbers` });
  for (const tick of log ? logTicks(from, to, width) : linearTicks(from, to, width)) {
    svg.append(draw("line", { class: "tick", x1: x(tick), x2: x(tick), y1: 0, y2: height - bottom }), draw("text", { class: "axis", x: x(tick), y: height - 8, "text-anchor": "middle" }, brief(tick)));
  }
  variants.forEach((name, i) => {
    const own = points.filter((run) => run.variant === name), y = i * row;
    const sorted = own.map((run) => run.phases[phase]).sort((a, b) => a - b), middle = (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
    svg.append(draw("text", { class: "row-name", x: 10, y: y + 13 }, clipped(name, width / 8)));
    svg.append(draw("line", { class: "row-line", x1: 10, x2: width - 10, y1: y + 30, y2: y + 30 }));
    svg.append(draw("line", { class: "median", x1: x(middle), x2: x(middle), y1: y + 20, y2: y + 40 }));
    own.forEach((run, n) => svg.append(draw("circle", { class: "point", cx: x(run.phases[phase]), cy: y + 30 + ((n * 7) % 11) - 5, r: 3.5, onclick: () => openRun(run.run) },
      draw("title", {}, `run ${run.run}: ${brief(run.phases[phase], 4)}${run.at ? `, ${run.at}` : ""}`))));
  });
  place.replaceChildren(svg);
}

function brief(seconds, digits = 3) {
  return seconds === 0 ? "0" : seconds >= 1 ? `${Number(seconds.toPrecision(digits))} s` : seconds >= 1e-3 ? `${Number((seconds * 1e3).toPrecision(digits))} ms` : `${Number((seconds * 1e6).toPrecision(digits))} µs`;
}

function linearTicks(from, to, width) {
  const step = niceStep(to - from, width / 80), ticks = [];
  for (let tick = Math.ceil(from / step) * step; tick <= to; tick += step) ticks.push(tick);
  return ticks;
}

function logTicks(from, to, width) {
  const every = [];
  for (let power = Math.floor(Math.log10(from)); power <= Math.log10(to); power++) {
    for (const one of [1, 2, 5]) if (one * 10 ** power >= from && one * 10 ** power <= to) every.push(one * 10 ** power);
  }
  const room = Math.max(1, Math.ceil(every.length / (width / 56)));
  return every.filter((_, i) => i % room === 0);
}

function openRun(run) {
  document.dispatchEvent(new CustomEvent("mip6lab-run", { detail: run }));
}

for (const root of document.querySelectorAll("[data-chart=distribution]")) {
  root.querySelector("select").addEventListener("change", () => distribution(root));
  new ResizeObserver(() => distribution(root)).observe(root.querySelector("[data-is=chart]"));
}
for (const box of document.querySelectorAll("[data-toggles]")) {
  box.addEventListener("change", () => document.getElementById(box.dataset.toggles).classList.toggle("own-scale", box.checked));
}
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-run]");
  if (button) openRun(Number(button.dataset.run));
});
const ladderRoot = document.getElementById("explorer");
if (ladderRoot && PAGE.runs.some((run) => run.ladder)) new Explorer(ladderRoot);
