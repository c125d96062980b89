"use strict";
/* One run as a ladder: hosts side by side, time downwards, every message an arrow. */

const LEAST_SPAN = 1e5; // ns: the closest view is 100 microseconds high.
const TOP = 44, ROW = 19, LABEL_GAP = 13, MOST_ROWS = 1000;

/** Write nanoseconds, as finely as `step` asks. */
function written(time, step = Math.abs(time) / 1000) {
  const [unit, one] = Math.abs(time) >= 1e9 || step >= 1e9 ? ["s", 1e9] : Math.abs(time) >= 1e6 || step >= 1e6 ? ["ms", 1e6] : ["µs", 1e3];
  const digits = Math.max(0, Math.min(6, Math.ceil(-Math.log10((step || 1) / one) - 1e-9)));
  return `${(time / one).toFixed(digits)} ${unit}`;
}

function niceStep(span, most) {
  const rough = span / most, power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough);
}

/** The class that colours a protocol. */
function kind(protocol) {
  const name = protocol.toLowerCase().replace(/[^a-z0-9]/g, "");
  return ["pana", "diameter", "radius", "ikev1", "ikev2", "mipv6", "dhcpv6", "dns", "icmpv6", "tcp", "tls", "ipv6tunnel", "esp"].includes(name) ? `p-${name}` : "p-other";
}

/** A run's data as it is in the page or beside it, with names in the place of positions. */
function readLadder(data) {
  data.messages = data.messages.map(([sent, arrived, from, to, protocol, label, octets, link, critical, listened, fields, node], index) => ({
    index, sent, arrived, from, to, label, octets, fields, node, critical: !!critical, listened: !!listened,
    protocol: data.protocols[protocol], link: data.links[link], shown: arrived ?? sent,
  }));
  data.events = data.events.map(([time, host, agent, event, detail, node]) => ({ time, host, agent, event, detail, node }));
  data.first = Math.min(0, ...data.messages.map((m) => m.sent).slice(0, 1));
  data.last = Math.max(data.end, ...data.messages.slice(-1).map((m) => m.shown));
  return data;
}

/** Whether something is about the mobile node that is looked at, where there are many. */
function isOf(view, one) {
  return view.node < 0 || one.node === view.node;
}

/** Which messages an arrow shows, by what is switched off. */
function isShown(view, message) {
  return !view.hidden.has(message.protocol) && (!view.criticalOnly || message.critical) && isOf(view, message);
}

/** Draw a run into a panel; `view` has the window of time and what is switched off. */
function drawLadder(panel, data, view, choose) {
  const width = Math.max(150, panel.clientWidth), narrow = width < 420;
  const gutter = view.axis ? (narrow ? 46 : 70) : 12;
  const messages = data.messages.filter((m) => isShown(view, m));
  const rows = view.rows ? new Map(messages.filter((m) => inWindow(m, view)).slice(0, MOST_ROWS).map((m, i) => [m.index, i])) : null;
  const height = rows ? TOP + Math.max(4, rows.size + 1) * ROW : TOP + view.height;
  const lane = laneOf(data, gutter, width);
  const place = rows ? rowPlace(messages, rows) : (time) => TOP + ((time - view.from) / (view.to - view.from)) * view.height;
  const svg = draw("svg", { width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true", focusable: "false" });
  const clip = `clip-${data.run}-${panel.dataset.side}`;
  svg.append(draw("defs", {}, draw("clipPath", { id: clip }, draw("rect", { x: 0, y: TOP, width, height: height - TOP }))));
  const body = draw("g", { "clip-path": `url(#${clip})` });
  drawBands(body, data, place, gutter, width, narrow);
  if (!rows) drawAxis(body, view, place, gutter, width);
  data.hosts.forEach((host, i) => body.append(draw("line", { class: "lane", x1: lane(i), x2: lane(i), y1: TOP, y2: height })));
  if (!view.rows) drawWaits(body, messages, place, lane, view);
  const gap = data.hosts.length > 1 ? lane(1) - lane(0) : width;
  drawMessages(body, { messages, view, rows, place, lane, gap, narrow, choose, gutter });
  if (view.events) drawEvents(body, data, view, place, lane, choose);
  svg.append(body, ...data.hosts.map((host, i) => hostHead(host, lane(i), gap, narrow)));
  panel.replaceChildren(svg);
}

function laneOf(data, gutter, width) {
  const edge = Math.min(56, (width - gutter) / (2 * data.hosts.length)), room = width - gutter - 2 * edge;
  return (i) => gutter + edge + (data.hosts.length > 1 ? (room * i) / (data.hosts.length - 1) : room / 2);
}

function inWindow(message, view) {
  return message.shown >= view.from && message.sent <= view.to;
}

/** Rows of equal height: where a time lies between the messages around it. */
function rowPlace(messages, rows) {
  const shown = messages.filter((m) => rows.has(m.index));
  return (time) => {
    let low = 0, high = shown.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (shown[middle].sent < time) low = middle + 1; else high = middle;
    }
    return TOP + low * ROW + 2;
  };
}

function hostHead([name, role], x, gap, narrow) {
  const short = narrow || gap < 90;
  return draw("g", { class: "host" },
    draw("text", { x, y: short ? 26 : 18, "text-anchor": "middle", class: "host-name" }, clipped(name, gap / 7)),
    short ? null : draw("text", { x, y: 34, "text-anchor": "middle", class: "host-role" }, clipped(role, gap / 6)));
}

function clipped(text, characters) {
  return text.length <= characters + 1 ? text : `${text.slice(0, Math.max(1, Math.floor(characters)))}…`;
}

function drawBands(body, data, place, gutter, width, narrow) {
  for (const [name, begin, end] of data.phases) {
    const y = Math.max(TOP, place(begin)), tall = Math.max(0.5, place(end) - y);
    body.append(draw("rect", { class: `band ph-${name}`, x: gutter, y, width: width - gutter, height: tall }));
    if (tall >= 13) body.append(draw("text", { class: "band-name", x: width - 4, y: y + 11, "text-anchor": "end" }, PAGE.titles[name] + (narrow ? "" : ` ${written(end - begin)}`)));
  }
}

function drawAxis(body, view, place, gutter, width) {
  const step = niceStep(view.to - view.from, view.height / 46);
  for (let tick = Math.ceil(view.from / step) * step; tick <= view.to; tick += step) {
    const y = place(tick);
    body.append(draw("line", { class: "tick", x1: gutter - 4, x2: width, y1: y, y2: y }));
    if (view.axis) body.append(draw("text", { class: "axis", x: gutter - 7, y: y + 4, "text-anchor": "end" }, tick === 0 ? "0" : written(tick, step)));
  }
}

/** The critical path between its messages: the host that they wait for. */
function drawWaits(body, messages, place, lane, view) {
  const path = messages.filter((m) => m.critical && m.arrived !== null);
  path.forEach((message, i) => {
    const next = path.slice(i + 1).find((m) => m.sent >= message.arrived);
    if (!next || next.from !== message.to || next.sent < view.from || message.arrived > view.to) return;
    body.append(draw("line", { class: "wait", x1: lane(message.to), x2: lane(message.to), y1: place(message.arrived), y2: place(next.sent) }));
  });
}

function drawMessages(body, { messages, view, rows, place, lane, gap, narrow, choose, gutter }) {
  const last = new Map();
  for (const message of messages) {
    if (!inWindow(message, view) || (rows && !rows.has(message.index))) continue;
    const lost = message.arrived === null, x1 = lane(message.from), whole = lane(message.to);
    const x2 = lost ? x1 + (whole - x1) * 0.6 : whole, same = x1 === whole;
    const y1 = rows ? TOP + rows.get(message.index) * ROW + ROW / 2 + 2 : place(message.sent), y2 = rows ? y1 : lost ? y1 : place(message.arrived);
    const group = draw("g", { class: `message ${kind(message.protocol)}${message.critical ? " critical" : ""}${message.listened ? "" : " unheard"}${view.chosen === message ? " chosen" : ""}`,
      onclick: (event) => { event.stopPropagation(); choose(message, true); }, onpointerenter: () => choose(message, false) });
    const path = same ? `M${x1},${y1}c26,-4 26,${4 + y2 - y1 + 6} 0,${y2 - y1 + 2}` : `M${x1},${y1}L${x2},${y2}`;
    group.append(draw("path", { class: "hit", d: path }), draw("path", { class: "line", d: path }));
    if (lost) group.append(draw("path", { class: "cross", d: `M${x2 - 4},${y2 - 4}l8,8m0,-8l-8,8` }));
    else if (!same) group.append(arrowHead(x1, y1, x2, y2));
    const x = (x1 + x2) / 2, y = (y1 + y2) / 2 - 3, column = Math.min(message.from, message.to);
    const clear = rows || !(y - (last.get(column) ?? -1e9) < LABEL_GAP);
    if ((clear || view.chosen === message) && Math.abs(whole - x1) > 56) {
      last.set(column, y);
      group.append(draw("text", { class: "label", x, y: rows ? y + 1 : y, "text-anchor": "middle" }, clipped(message.label, (Math.abs(whole - x1) - 14) / 6)));
    }
    if (rows && view.axis) group.append(draw("text", { class: "axis", x: gutter - 7, y: y1 + 4, "text-anchor": "end" }, written(message.sent, narrow ? 1e6 : 1e5)));
    body.append(group);
  }
}

function arrowHead(x1, y1, x2, y2) {
  const angle = Math.atan2(y2 - y1, x2 - x1), at = (turn, far) => `${x2 - far * Math.cos(angle + turn)},${y2 - far * Math.sin(angle + turn)}`;
  return draw("path", { class: "head", d: `M${x2},${y2}L${at(0.4, 9)}L${at(-0.4, 9)}Z` });
}

function drawEvents(body, data, view, place, lane, choose) {
  for (const event of data.events) {
    if (event.time < view.from || event.time > view.to || !isOf(view, event)) continue;
    const x = lane(event.host), y = place(event.time);
    body.append(draw("path", { class: `event${view.chosen === event ? " chosen" : ""}`, d: `M${x},${y - 4}l4,4l-4,4l-4,-4Z`,
      onclick: () => choose(event, true), onpointerenter: () => choose(event, false) }));
  }
}
