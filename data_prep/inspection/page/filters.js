// Which images and boxes are asked for, and in which order.

const filters = {
  row: -1, with: -1, low: null, high: null, text: "", bits: 0, imageBits: 0, shown: false, alone: false, sort: "suspicious",
};

const SORTS = {
  suspicious: { title: "most suspicious first, thumbnails before blanks", key: (image) => (thumbnails[image] ? 0 : 1e6) - scores[image] },
  name: { title: "by name", key: null },
  most: { title: "most boxes first", key: (image) => offsets[image] - offsets[image + 1] },
  fewest: { title: "fewest boxes first", key: (image) => offsets[image + 1] - offsets[image] },
  smallest: { title: "smallest box first", key: (image) => bestBox(image, (box) => boxSide(image, box), Math.min, Infinity) },
  largest: { title: "largest box first", key: (image) => -bestBox(image, (box) => boxSide(image, box), Math.max, -1) },
  ratio: { title: "longest and thinnest box first", key: (image) => -bestBox(image, (box) => boxRatio(image, box), Math.max, -1) },
  size: { title: "largest image first", key: (image) => -widths[image] * heights[image] },
  small: { title: "smallest image first", key: (image) => widths[image] * heights[image] || Infinity },
};

function boxRatio(image, box) {
  const sides = boxPixels(image, box);
  return sides ? Math.max(sides[0], sides[1]) / Math.max(1e-6, Math.min(sides[0], sides[1])) : 0;
}

function bestBox(image, measure, better, worst) {
  let best = worst;
  for (let box = offsets[image]; box < offsets[image + 1]; box += 1) {
    const found = boxAsked(image, box) ? measure(box) : NaN;
    if (!Number.isNaN(found)) best = better(best, found);
  }
  return best;
}

function asksForBoxes() {
  return filters.bits !== 0 || asksForClassOrSize();
}

function asksForClassOrSize() {
  return filters.row >= 0 || filters.low !== null || filters.high !== null;
}

function boxIsLike(image, box) {
  if (filters.row >= 0 && boxClasses[box] !== filters.row) return false;
  if (filters.low === null && filters.high === null) return true;
  const side = boxSide(image, box);
  return (filters.low === null || side >= filters.low) && (filters.high === null || side < filters.high);
}

function boxAsked(image, box) {
  return (!filters.bits || (boxFlags[box] & filters.bits) !== 0) && boxIsLike(image, box);
}

function someBox(image, test) {
  for (let box = offsets[image]; box < offsets[image + 1]; box += 1) {
    if (test(image, box)) return true;
  }
  return false;
}

function imageAsked(image, sought) {
  if (filters.shown && !thumbnails[image]) return false;
  if (sought && !ids[image].toLowerCase().includes(sought)) return false;
  if (filters.with >= 0 && !someBox(image, (_, box) => boxClasses[box] === filters.with)) return false;
  // Of the kinds that are chosen one is enough, be it of the image or of a box.
  if (filters.imageBits & imageFlags[image]) return !asksForClassOrSize() || someBox(image, boxIsLike);
  if (filters.imageBits && !filters.bits) return false;
  return !asksForBoxes() || someBox(image, boxAsked);
}

// The listed images that are asked for, in the order that is.
function askedImages() {
  const sought = filters.text.trim().toLowerCase();
  const found = [];
  for (let image = 0; image < ids.length; image += 1) {
    if (imageAsked(image, sought)) found.push(image);
  }
  const key = SORTS[filters.sort].key;
  const compareNames = (a, b) => (ids[a] < ids[b] ? -1 : ids[a] > ids[b] ? 1 : a - b);
  if (!key) return found.sort(compareNames);
  const keys = new Map(found.map((image) => [image, key(image)]));
  // Of equals, those that can be seen come first.
  return found.sort((a, b) => keys.get(a) - keys.get(b) || !thumbnails[a] - !thumbnails[b] || compareNames(a, b));
}

function flagChip(flag, kind, count, onChange) {
  return element("button", {
    type: "button", class: count ? "kind" : "kind none", "data-kind": kind, "data-bit": flag.bit, "aria-pressed": "false", title: flag.why,
    onclick: () => {
      filters[kind] ^= flag.bit;
      onChange();
    },
  }, flag.word, element("b", {}, count.toLocaleString("en")));
}

function classOptions(first) {
  const rows = classes.map((_, row) => row).filter((row) => classes[row].boxes)
    .sort((a, b) => (classes[a].name.toLowerCase() < classes[b].name.toLowerCase() ? -1 : 1));
  return [element("option", { value: -1 }, first),
    ...rows.map((row) => element("option", { value: row }, `${classes[row].name} (${classes[row].boxes.toLocaleString("en")})`))];
}

function drawFilters(onChange) {
  const set = (name, value) => {
    filters[name] = value;
    onChange();
  };
  const number = (event) => (event.target.value === "" ? null : Number(event.target.value));
  const boxCounts = statistics.all.flags;
  const imageCounts = statistics.all.imageFlags;
  const chips = [
    ...BOX_FLAGS.filter((flag) => boxCounts[flag.bit]).map((flag) => flagChip(flag, "bits", boxCounts[flag.bit], onChange)),
    ...IMAGE_FLAGS.filter((flag) => imageCounts[flag.bit]).map((flag) => flagChip(flag, "imageBits", imageCounts[flag.bit], onChange)),
  ];
  byId("filters").replaceChildren(
    element("label", {}, "Class", element("select", { id: "filter-class", onchange: (event) => set("row", Number(event.target.value)) }, classOptions("all classes"))),
    element("label", {}, "together with", element("select", { id: "filter-with", onchange: (event) => set("with", Number(event.target.value)) }, classOptions("anything"))),
    element("label", {}, `Box from, ${SIDE_UNIT}`, element("input", { id: "filter-low", type: "number", min: 0, step: "any", oninput: (event) => set("low", number(event)) })),
    element("label", {}, "to below", element("input", { id: "filter-high", type: "number", min: 0, step: "any", oninput: (event) => set("high", number(event)) })),
    element("label", {}, "File name", element("input", { id: "filter-text", type: "search", placeholder: "part of it", oninput: (event) => set("text", event.target.value) })),
    element("label", {}, "Order", element("select", { id: "filter-sort", onchange: (event) => set("sort", event.target.value) },
      Object.entries(SORTS).map(([name, sort]) => element("option", { value: name }, sort.title)))),
    element("label", { class: "check" }, element("input", { id: "filter-shown", type: "checkbox", onchange: (event) => set("shown", event.target.checked) }), "with thumbnail only"),
    element("label", { class: "check" }, element("input", { id: "filter-alone", type: "checkbox", onchange: (event) => set("alone", event.target.checked) }), "hide other boxes"),
    element("button", { type: "button", id: "reset", onclick: () => {
      Object.assign(filters, { row: -1, with: -1, low: null, high: null, text: "", bits: 0, imageBits: 0, shown: false, alone: false });
      onChange();
    } }, "Reset"),
    chips.length ? element("div", { class: "flags" }, element("span", {}, "with any of"), chips) : "");
}

// Brings the form to what the filters say, for they change elsewhere too.
function showFilters() {
  byId("filter-class").value = filters.row;
  byId("filter-with").value = filters.with;
  for (const name of ["low", "high"]) {
    const input = byId(`filter-${name}`);
    if (document.activeElement !== input) input.value = filters[name] ?? "";
  }
  if (document.activeElement !== byId("filter-text")) byId("filter-text").value = filters.text;
  byId("filter-sort").value = filters.sort;
  byId("filter-shown").checked = filters.shown;
  byId("filter-alone").checked = filters.alone;
  for (const chip of document.querySelectorAll(".kind[data-bit]")) {
    chip.setAttribute("aria-pressed", filters[chip.dataset.kind] & Number(chip.dataset.bit) ? "true" : "false");
  }
}
