"use strict";
/* The part of the page around the ladder: which runs, which window of time, and what is chosen. */

const loaded = new Map(), waiting = new Map();

/** What a file beside the page hands over when it has been loaded. */
function mip6labLadder(run, packed) {
  waiting.get(run)?.(packed);
}

async function unpacked(packed) {
  const octets = Uint8Array.from(atob(packed), (one) => one.charCodeAt(0));
  const stream = new Blob([octets]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

/** Return a run's ladder: from the page, or from the file beside it. */
function fetchLadder(run) {
  if (!loaded.has(run.run)) {
    const inside = document.getElementById(`ladder-${run.run}`);
    const packed = inside ? Promise.resolve(inside.textContent) : new Promise((done, fail) => {
      waiting.set(run.run, done);
      const failed = () => fail(new Error(`${run.folder}/ladder.js is not beside this page`));
      document.head.append(make("script", { src: `${run.folder}/ladder.js`, onerror: failed }));
    });
    loaded.set(run.run, packed.then(unpacked).then(readLadder));
  }
  return loaded.get(run.run);
}

class Explorer {
  constructor(root) {
    this.root = root;
    this.find = (name) => root.querySelector(`[data-is="${name}"]`);
    this.runs = PAGE.runs.filter((run) => run.ladder);
    this.shown = [];
    this.view = { from: 0, to: 1e6, height: 560, hidden: new Set(["TCP"]), criticalOnly: false, events: true, rows: false, node: -1, chosen: null };
    this.pinned = false;
    this.fillChoices();
    this.listen();
    const wanted = new URLSearchParams(location.hash.slice(1));
    const run = this.byNumber(wanted.get("run")) ?? this.byNumber(PAGE.typical) ?? this.runs[0];
    this.open(run, this.byNumber(wanted.get("with")));
  }

  byNumber(number) {
    return this.runs.find((run) => run.run === Number(number)) ?? null;
  }

  fillChoices() {
    const variants = [...new Set(this.runs.map((run) => run.variant))];
    this.find("variant").replaceChildren(...variants.map((name) => make("option", {}, name)));
    const groups = variants.map((name) => make("optgroup", { label: name }, this.of(name).map((run) => this.option(run))));
    this.find("other").replaceChildren(make("option", { value: "" }, "nothing"), ...groups);
  }

  of(variant) {
    return this.runs.filter((run) => run.variant === variant);
  }

  option(run) {
    const total = run.total === null ? run.status : written(run.total * 1e9);
    return make("option", { value: run.run }, `${run.run}: ${total}${run.at ? `, ${run.at}` : ""}`);
  }

  listen() {
    const on = (name, type, act) => this.find(name).addEventListener(type, act);
    on("variant", "change", () => this.open(this.middle(this.find("variant").value), this.other));
    on("run", "change", () => this.open(this.byNumber(this.find("run").value), this.other));
    on("other", "change", () => this.open(this.run, this.byNumber(this.find("other").value)));
    on("in", "click", () => this.zoom(0.5));
    on("out", "click", () => this.zoom(2));
    on("all", "click", () => this.window(...this.whole()));
    on("everything", "click", () => this.window(...this.everything()));
    on("node", "change", () => this.set("node", Number(this.find("node").value)));
    for (const name of ["criticalOnly", "events", "rows"]) on(name, "change", () => this.set(name, this.find(name).checked));
    on("stage", "keydown", (event) => this.key(event));
    on("stage", "wheel", (event) => this.wheel(event));
    on("stage", "pointerleave", () => this.pinned || this.choose(null));
    this.drag(this.find("stage"));
    this.find("list").addEventListener("toggle", () => this.list());
    new ResizeObserver(() => this.draw()).observe(this.find("stage"));
    document.addEventListener("mip6lab-run", (event) => {
      this.open(this.byNumber(event.detail), this.other);
      this.root.scrollIntoView();
    });
  }

  /** The run with the middle total of a variant. */
  middle(variant) {
    const sorted = this.of(variant).sort((a, b) => (a.total ?? Infinity) - (b.total ?? Infinity));
    const good = sorted.filter((run) => run.total !== null);
    return good[(good.length - 1) >> 1] ?? sorted[0];
  }

  async open(run, other) {
    this.run = run;
    this.other = other;
    this.find("variant").value = run.variant;
    this.find("run").replaceChildren(...this.of(run.variant).map((one) => this.option(one)));
    this.find("run").value = run.run;
    this.find("other").value = other ? other.run : "";
    const wanted = [run, other].filter(Boolean);
    try {
      const found = await Promise.all(wanted.map(fetchLadder));
      if (this.run !== run || this.other !== other) return;
      this.shown = found;
      this.find("problem").textContent = "";
    } catch (error) {
      this.shown = [];
      this.find("problem").textContent = `This run cannot be shown: ${error.message}.`;
    }
    this.pinned = false;
    this.view.chosen = null;
    this.showFiles();
    this.showNodes();
    this.showLegend();
    this.showPhases();
    this.window(...this.whole());
    this.describe(null);
    this.panels();
    if (this.opened) history.replaceState(null, "", `#run=${run.run}${other ? `&with=${other.run}` : ""}`);
    this.opened = true;
  }

  panels() {
    this.find("panels").replaceChildren(...this.shown.map((data, i) => make("div", { class: "panel" },
      make("p", { class: "panel-title" }, make("b", {}, data.variant), ` run ${data.run}${data.at ? `, ${data.at}` : ""}: ${data.ok ? "" : "failed: "}${data.came_to}`),
      make("div", { class: "drawing", "data-side": i, "data-is": `drawing${i}` }))));
    this.draw();
  }

  whole() {
    const end = Math.max(1e5, ...this.shown.map((data) => data.end));
    return [-0.03 * end, 1.03 * end];
  }

  everything() {
    const first = Math.min(...this.shown.map((data) => data.first)), last = Math.max(...this.shown.map((data) => data.last));
    return [first - 0.02 * (last - first), last + 0.02 * (last - first)];
  }

  window(from, to) {
    const middle = (from + to) / 2, span = Math.max(LEAST_SPAN, to - from);
    Object.assign(this.view, to - from < LEAST_SPAN ? { from: middle - span / 2, to: middle + span / 2 } : { from, to });
    this.draw();
  }

  zoom(factor, at = (this.view.from + this.view.to) / 2) {
    const { from, to } = this.view;
    const most = this.everything(), widest = (most[1] - most[0]) * 1.1;
    if ((to - from) * factor > widest) return this.window(...most);
    if ((to - from) * factor < LEAST_SPAN) factor = LEAST_SPAN / (to - from);
    return this.window(at + (from - at) * factor, at + (to - at) * factor);
  }

  pan(share) {
    const by = share * (this.view.to - this.view.from);
    this.window(this.view.from + by, this.view.to + by);
  }

  set(name, value) {
    this.view[name] = value;
    this.draw();
  }

  draw() {
    if (this.drawing || !this.shown.length) return;
    this.drawing = requestAnimationFrame(() => {
      this.drawing = 0;
      this.view.height = innerWidth < 700 ? 460 : 560;
      this.shown.forEach((data, i) => {
        const panel = this.find(`drawing${i}`);
        const pick = (one, pin) => this.choose(one, pin, data);
        if (panel) drawLadder(panel, data, { ...this.view, axis: i === 0 || this.view.rows }, pick);
      });
      this.find("span").textContent = `${written(this.view.from, 1e5)} to ${written(this.view.to, 1e5)}`;
      this.overview();
      this.list();
    });
  }

  /** The bar of phases with the window on it. */
  overview() {
    const bar = this.find("overview"), width = bar.clientWidth || 300, [first, last] = this.whole();
    const x = (time) => Math.max(0, Math.min(width, ((time - first) / (last - first)) * width));
    const svg = draw("svg", { width, height: 16, "aria-hidden": "true" });
    for (const [name, begin, end] of this.shown[0].phases) svg.append(draw("rect", { class: `ph-${name}`, x: x(begin), y: 3, width: Math.max(0.5, x(end) - x(begin)), height: 10 }));
    svg.append(draw("rect", { class: "window", x: x(this.view.from), y: 1, width: Math.max(3, x(this.view.to) - x(this.view.from)), height: 14 }));
    bar.replaceChildren(svg);
  }

  /** Where there are many mobile nodes: one of them, or all. */
  showNodes() {
    const nodes = this.shown[0]?.nodes ?? [];
    this.view.node = nodes.length ? 0 : -1;
    this.find("node").replaceChildren(...nodes.map((name, i) => make("option", { value: i }, name)), make("option", { value: -1 }, "all"));
    this.find("node").parentElement.hidden = !nodes.length;
  }

  showLegend() {
    const protocols = [...new Set(this.shown.flatMap((data) => data.protocols))];
    const switches = protocols.map((name) => make("button", { type: "button", class: `switch ${kind(name)}`, "aria-pressed": String(!this.view.hidden.has(name)),
      onclick: (event) => {
        const hides = !this.view.hidden.has(name);
        this.view.hidden[hides ? "add" : "delete"](name);
        event.currentTarget.setAttribute("aria-pressed", String(!hides));
        this.draw();
      } }, make("i", {}), name));
    this.find("legend").replaceChildren(...switches);
  }

  showPhases() {
    const phases = this.shown[0]?.phases ?? [];
    this.find("phases").replaceChildren(...phases.map(([name, begin, end]) => make("button", { type: "button", class: `phase ph-${name}`,
      onclick: () => this.window(begin - 0.05 * (end - begin), end + 0.05 * (end - begin)) }, PAGE.titles[name])));
  }

  showFiles() {
    const lists = this.shown.flatMap((data) => [make("h3", {}, `Files of run ${data.run}`), make("dl", {}, filesByFolder(data.files))]);
    this.find("files").replaceChildren(...lists);
    this.find("note").textContent = this.shown.filter((data) => data.cut).map((data) => `Run ${data.run} has ${data.cut} messages more: the captures have them.`).join(" ");
  }

  choose(one, pin = false, data = this.shown[0]) {
    if (this.pinned && !pin) return;
    if (one === this.view.chosen && pin === this.pinned) return;
    this.pinned = pin && one !== null;
    const before = this.view.chosen;
    this.view.chosen = one;
    this.chosenIn = data;
    this.describe(one, data);
    if (pin || before === null || one === null) this.draw(); else this.draw();
  }

  describe(one, data) {
    const panel = this.find("detail");
    if (!one) {
      panel.replaceChildren(make("p", { class: "quiet" }, "Point at a message, or press the arrow keys in the drawing, to read its fields. A click keeps them."));
      return;
    }
    const host = (i) => data.hosts[i][0];
    if (one.event) {
      panel.replaceChildren(make("h3", {}, `${one.agent} ${one.event}`), make("p", {}, `told by ${host(one.host)} at ${written(one.time, 1e3)}`), fields(one.detail));
      return;
    }
    const way = one.arrived === null ? ", lost on the way" : one.listened ? `, arrived ${written(one.arrived - one.sent, 1e3)} later` : ", seen at one end only";
    panel.replaceChildren(make("h3", { class: kind(one.protocol) }, make("i", {}), `${one.protocol} ${one.label}`),
      make("p", {}, `${host(one.from)} to ${host(one.to)} over ${one.link}, ${written(one.sent, 1e3)}${way}; ${one.octets} octets${one.critical ? "; on the critical path" : ""}`),
      fields(one.fields));
  }

  /** Step to the message before or after, and bring it into the window. */
  step(by) {
    const data = this.chosenIn && this.shown.includes(this.chosenIn) ? this.chosenIn : this.shown[0];
    const shown = data.messages.filter((m) => isShown(this.view, m));
    if (!shown.length) return;
    let at = shown.indexOf(this.view.chosen);
    at = at < 0 ? shown.findIndex((m) => m.sent >= this.view.from) : at + by;
    const message = shown[Math.max(0, Math.min(shown.length - 1, at))];
    this.choose(message, true, data);
    const { from, to } = this.view;
    if (message.sent < from || message.shown > to) this.window(message.sent - (to - from) / 2, message.sent + (to - from) / 2);
  }

  key(event) {
    const acts = {
      ArrowDown: () => this.step(1), ArrowUp: () => this.step(-1), PageDown: () => this.pan(0.5), PageUp: () => this.pan(-0.5),
      "+": () => this.zoom(0.5, this.view.chosen?.sent), "=": () => this.zoom(0.5, this.view.chosen?.sent), "-": () => this.zoom(2, this.view.chosen?.sent),
      0: () => this.window(...this.whole()), Home: () => this.window(...this.whole()), Escape: () => { this.pinned = false; this.choose(null); },
      c: () => { const box = this.find("criticalOnly"); box.checked = !box.checked; this.set("criticalOnly", box.checked); },
    };
    if (event.ctrlKey || event.metaKey || event.altKey || !acts[event.key]) return;
    event.preventDefault();
    acts[event.key]();
  }

  timeAt(y) {
    const top = this.find("drawing0").getBoundingClientRect().top + TOP;
    return this.view.from + ((y - top) / this.view.height) * (this.view.to - this.view.from);
  }

  wheel(event) {
    if (this.view.rows || !(event.ctrlKey || event.metaKey || event.shiftKey)) return;
    event.preventDefault();
    if (event.shiftKey) this.pan((event.deltaY || event.deltaX) / 800);
    else this.zoom(Math.exp(event.deltaY / 300), this.timeAt(event.clientY));
  }

  /** Drag with the mouse to move in time; two fingers zoom. */
  drag(stage) {
    const fingers = new Map();
    let apart = 0;
    stage.addEventListener("pointerdown", (event) => { fingers.set(event.pointerId, event); apart = 0; });
    for (const end of ["pointerup", "pointercancel", "pointerleave"]) stage.addEventListener(end, (event) => fingers.delete(event.pointerId));
    stage.addEventListener("dblclick", (event) => this.view.rows || this.zoom(0.4, this.timeAt(event.clientY)));
    stage.addEventListener("pointermove", (event) => {
      const before = fingers.get(event.pointerId);
      if (!before || this.view.rows) return;
      fingers.set(event.pointerId, event);
      if (fingers.size === 1 && event.pointerType === "mouse") this.pan((before.clientY - event.clientY) / this.view.height);
      if (fingers.size === 2) {
        const [one, two] = [...fingers.values()], now = Math.hypot(one.clientX - two.clientX, one.clientY - two.clientY);
        if (apart) this.zoom(apart / now, this.timeAt((one.clientY + two.clientY) / 2));
        apart = now;
      }
    });
  }

  /** The same messages as a table, for those who do not see the drawing. */
  list() {
    if (!this.find("list").open || !this.shown.length) return;
    const rows = this.shown.flatMap((data) => data.messages.filter((m) => isShown(this.view, m) && inWindow(m, this.view)).map((m) => make("tr", {},
      this.shown.length > 1 ? make("td", {}, String(data.run)) : null,
      make("td", {}, written(m.sent, 1e3)), make("td", {}, `${data.hosts[m.from][0]} to ${data.hosts[m.to][0]}`), make("td", {}, m.protocol),
      make("td", {}, make("button", { type: "button", class: "plain", onclick: () => this.choose(m, true, data) }, m.label)), make("td", {}, m.critical ? "yes" : ""))));
    const head = [this.shown.length > 1 ? "run" : null, "sent", "from and to", "protocol", "message", "critical path"].filter(Boolean);
    this.find("rows-table").replaceChildren(make("thead", {}, make("tr", {}, head.map((name) => make("th", { scope: "col" }, name)))), make("tbody", {}, rows));
  }
}

function filesByFolder(paths) {
  const folders = new Map();
  for (const path of paths) {
    const [, , ...rest] = path.split("/"), folder = rest.length > 1 ? rest[0] : "events";
    folders.set(folder, [...(folders.get(folder) ?? []), make("a", { href: path.split("/").map(encodeURIComponent).join("/") }, rest.at(-1)), " "]);
  }
  return [...folders].flatMap(([folder, links]) => [make("dt", {}, folder), make("dd", {}, links)]);
}

/** Fields as nested lists, from lines that are two spaces further in for each level. */
function fields(lines) {
  const top = make("ul", { class: "fields" }), levels = [top];
  for (const line of (lines || "").split("\n").filter(Boolean)) {
    const depth = Math.min((line.length - line.trimStart().length) / 2, levels.length - 1);
    const [, name, value] = line.trim().match(/^(.*?)(?:: (.*))?$/s);
    const item = make("li", {}, make("b", {}, name), value === undefined ? null : ` ${value}`), below = make("ul", {});
    levels.length = depth + 1;
    levels[depth].append(item);
    item.append(below);
    levels.push(below);
  }
  return top;
}
