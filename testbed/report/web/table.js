"use strict";
/* Tables that are sorted by the head of a column. */

function sortable(table) {
  const body = table.tBodies[0];
  if (!table.tHead || body.rows.length < 2) return;
  [...table.tHead.rows[0].cells].forEach((cell, column) => {
    if (!cell.textContent.trim()) return;
    const button = make("button", { type: "button", class: "sort", onclick: () => {
      const down = cell.getAttribute("aria-sort") === "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      cell.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...body.rows].sort((a, b) => compared(a.cells[column], b.cells[column]) * (down ? -1 : 1));
      body.append(...rows);
    } }, ...cell.childNodes);
    cell.replaceChildren(button);
  });
}

const UNITS = { s: 1, ms: 1e-3, "µs": 1e-6, "%": 1, MiB: 1 };

/** Numbers by their value, with the unit of a time; all else as text. */
function valueOf(cell) {
  const text = (cell?.dataset.sort ?? cell?.textContent ?? "").trim();
  const found = text.match(/^([-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?)\s*(µs|ms|s|%|MiB)?/);
  return found ? Number(found[1]) * (UNITS[found[2]] ?? 1) : text;
}

function compared(one, other) {
  const a = valueOf(one), b = valueOf(other);
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  return a.localeCompare(b);
}

for (const table of document.querySelectorAll("table")) sortable(table);
