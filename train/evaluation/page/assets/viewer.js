// One image at large, its boxes in a table, and ground truth, detections and names to switch on and off.

const show = { truth: true, detections: true, names: true };
const SHOWN_WORDS = { truth: "Ground truth", detections: "Detections", names: "Names" };

function applyShown() {
  for (const [name, on] of Object.entries(show)) document.body.classList.toggle(`no-${name}`, !on);
  for (const button of document.querySelectorAll("[data-show]")) button.setAttribute("aria-pressed", show[button.dataset.show] ? "true" : "false");
}

function toggleShown(name) {
  show[name] = !show[name];
  applyShown();
}

function legend() {
  const entry = (name, words, line = "") => {
    const made = element("span", { class: line }, words);
    made.style.borderColor = COLOURS[name];
    return made;
  };
  return element("p", { class: "legend quiet" }, entry("right", "right"), entry("wrong", "wrong"), entry("found", "object", "dashed"),
    entry("missed", "object not found", "dashed"), regions.count ? entry("region", "group, not counted", "dotted") : null);
}

function stepViewer(by) {
  if (gallery.items[gallery.opened + by] !== undefined) openViewer(gallery.opened + by);
}

function openViewer(place) {
  gallery.opened = place;
  const item = gallery.items[place];
  const { image } = item;
  const viewer = byId("viewer");
  const marks = marksOf(item);
  const light = (mark, on) => viewer.querySelector(`[data-box="${mark.key}"]`)?.classList.toggle("lit", on);
  const lines = marks.map((mark) => element("tr", {
    tabindex: 0, "data-row": mark.key, onpointerenter: () => light(mark, true), onpointerleave: () => light(mark, false), onfocus: () => light(mark, true), onblur: () => light(mark, false),
  }, element("td", { title: nameOf(mark.row) }, swatch(mark.colour), element("bdi", {}, nameOf(mark.row))),
  element("td", {}, mark.score === null ? "object" : figure(mark.score, 2)),
  element("td", {}, ["right", "found"].includes(mark.what) ? mark.what : element("span", { class: mark.rank < 2 ? "kind-word" : "" }, mark.what))));
  const stage = element("div", { class: "stage" });
  const button = (id, text, onclick, disabled = false) => element("button", { type: "button", id, onclick, disabled }, text);
  const tick = element("input", { type: "checkbox", id: "viewer-tick", onchange: (event) => setTick(image, event.target.checked) });
  tick.checked = ticked.has(image);
  viewer.replaceChildren(element("div", { class: "viewer" },
    element("header", {}, element("bdi", {}, ids[image]), element("label", { class: "check" }, tick, " ticked"),
      Object.entries(SHOWN_WORDS).map(([name, words]) => element("button", { type: "button", "data-show": name, onclick: () => toggleShown(name) }, words)),
      button("previous", "← Previous", () => stepViewer(-1), place <= 0),
      button("next", "Next →", () => stepViewer(1), place + 1 >= gallery.items.length),
      button("close", "Close", () => viewer.close())),
    stage,
    element("aside", {}, element("p", { class: "quiet" }, `${place + 1} of ${gallery.items.length.toLocaleString("en")}; ${widths[image]} x ${heights[image]} pixels`), legend(),
      element("table", {}, element("thead", {}, element("tr", {}, ["class", "score", ""].map((title) => element("th", {}, title)))), element("tbody", {}, lines))),
    element("p", { class: "help quiet" }, element("kbd", {}, "←"), element("kbd", {}, "→"), " image", element("kbd", {}, "g"), " ground truth", element("kbd", {}, "d"), " detections",
      element("kbd", {}, "n"), " names", element("kbd", {}, "x"), " tick", element("kbd", {}, "["), element("kbd", {}, "]"), " threshold", element("kbd", {}, "Esc"), " close")));
  if (!viewer.open) viewer.showModal();
  applyShown();
  fillStage(stage, shapeOf(image), (width, height) => frameOf(item, marks, width, height));
}

function swatch(colour) {
  const made = element("span", { class: "swatch" });
  made.style.background = colour;
  return made;
}
