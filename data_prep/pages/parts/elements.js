// Making elements. Texts go in as text nodes and never as markup: names and ids come from anywhere.

const SVG = "http://www.w3.org/2000/svg";

function fill(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

function element(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function svgElement(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function byId(id) {
  return document.getElementById(id);
}

// A word on whatever is under the pointer.
function withTip(made, text) {
  const tip = byId("tip");
  const place = (event) => {
    tip.style.left = `${Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8)}px`;
    tip.style.top = `${Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8)}px`;
  };
  made.addEventListener("pointerenter", (event) => {
    tip.textContent = typeof text === "function" ? text() : text;
    tip.hidden = false;
    place(event);
  });
  made.addEventListener("pointermove", place);
  for (const kind of ["pointerleave", "click"]) {
    made.addEventListener(kind, () => {
      tip.hidden = true;
    });
  }
  return made;
}

function chartCard(title, note, drawing) {
  return element("figure", { class: "card chart" }, element("h3", {}, title), element("p", {}, note), drawing);
}

function tile(value, words) {
  return element("div", { class: "tile" }, element("b", {}, value), element("span", {}, words));
}
