"use strict";
/* Elements of the page; text only ever becomes text. */

const NS = "http://www.w3.org/2000/svg";

/** Make an element with attributes, listeners (on...) and children. */
function make(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  return fill(made, attributes, children);
}

function draw(name, attributes = {}, ...children) {
  const made = document.createElementNS(NS, name);
  return fill(made, attributes, children);
}

function fill(made, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}
