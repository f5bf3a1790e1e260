// Which images and boxes are asked for, in which order, and which of them are ticked to be taken along.

const filters = { row: -1, kinds: 0, size: 0, text: "", view: "worst", cell: null, tickedOnly: false };
const ticked = new Set();

// A view lists items: an image, and of a view of boxes the detection, the object, or both, that it is about (else -1).
const VIEWS = {
  worst: { title: "Worst images", why: "those that cost most of F1 first", items: worstItems },
  wrong: { title: "False positives", why: "wrong detections, by score", items: wrongItems },
  missed: { title: "Misses", why: "objects that no detection is, the largest first", items: missedItems },
  confused: { title: "Confused pairs", why: "objects that are taken for another class, the most frequent pair first", items: confusedItems },
  unsure: { title: "Most uncertain", why: "images whose detections have scores near 0.5: the sum of (1 - |2 score - 1|)²", items: unsureItems },
  all: { title: "By id", why: "all images", items: itemsById },
};

function uncertaintyOf(score) {
  return (1 - Math.abs(2 * score - 1)) ** 2;
}

function detectionKind(detection) {
  return detections.mistakes[detection];
}

function sizeFits(boxes, box) {
  if (!filters.size) return true;
  const area = areaOf(boxes, box);
  return area >= SIZES[filters.size][1] && area < SIZES[filters.size][2];
}

function kindFits(kind) {
  return !filters.kinds || (kind !== RIGHT && (filters.kinds & (1 << kind)) !== 0);
}

function detectionFits(detection) {
  return counted(detection) && (filters.row < 0 || detections.rows[detection] === filters.row)
    && kindFits(detectionKind(detection)) && sizeFits(detections, detection);
}

function objectFits(object) {
  return (filters.row < 0 || objects.rows[object] === filters.row) && kindFits(now.objectKinds[object]) && sizeFits(objects, object);
}

function asksForBoxes() {
  return filters.row >= 0 || filters.kinds !== 0 || filters.size !== 0;
}

function someFits(boxes, image, fits) {
  for (let box = boxes.offsets[image]; box < boxes.offsets[image + 1]; box += 1) if (fits(box)) return true;
  return false;
}

function imageAsked(image) {
  if (filters.tickedOnly && !ticked.has(image)) return false;
  const sought = filters.text.trim().toLowerCase();
  return !sought || ids[image].toLowerCase().includes(sought);
}

function compareIds(a, b) {
  return ids[a] < ids[b] ? -1 : ids[a] > ids[b] ? 1 : a - b;
}

function imageItems(key) {
  const found = [];
  for (let image = 0; image < ids.length; image += 1) {
    if (!imageAsked(image)) continue;
    if (!asksForBoxes() || someFits(detections, image, detectionFits) || someFits(objects, image, objectFits)) found.push(image);
  }
  const keys = key && new Map(found.map((image) => [image, key(image)]));
  return found.sort((a, b) => (keys ? keys.get(b) - keys.get(a) : 0) || compareIds(a, b))
    .map((image) => ({ image, detection: -1, object: -1 }));
}

function worstItems() {
  now.byImage = countImages(filters.row);
  const all = filters.row < 0 ? now.all : now.byClass[filters.row];
  return imageItems((image) => lossOf(now.byImage[image], all));
}

function itemsById() {
  now.byImage = countImages(filters.row);
  return imageItems(null);
}

function unsureItems() {
  now.byImage = countImages(filters.row);
  return imageItems((image) => {
    let sum = 0;
    for (let box = detections.offsets[image]; box < detections.offsets[image + 1]; box += 1) {
      if (filters.row < 0 || detections.rows[box] === filters.row) sum += uncertaintyOf(detections.scores[box]);
    }
    return sum;
  });
}

function boxItems(boxes, fits, key, name) {
  const found = [];
  for (let box = 0; box < boxes.count; box += 1) if (fits(box) && imageAsked(boxes.imageOf[box])) found.push(box);
  const keys = new Map(found.map((box) => [box, key(box)]));
  return found.sort((a, b) => keys.get(b) - keys.get(a) || a - b)
    .map((box) => ({ image: boxes.imageOf[box], detection: -1, object: -1, [name]: box }));
}

function wrongItems() {
  const isWrong = (detection) => detectionKind(detection) !== RIGHT && detectionFits(detection);
  return boxItems(detections, isWrong, (detection) => detections.scores[detection], "detection");
}

function missedItems() {
  const isMissed = (object) => now.objectKinds[object] !== RIGHT && objectFits(object);
  return boxItems(objects, isMissed, (object) => areaOf(objects, object), "object");
}

function confusedItems() {
  const pair = (object) => inCell(objects.rows[object], detections.rows[now.takenFor[object]]);
  const fits = (object) => now.takenFor[object] >= 0 && (objectFits(object) || detectionFits(now.takenFor[object]));
  const key = (object) => pair(object) + detections.scores[now.takenFor[object]] / 2;
  return boxItems(objects, fits, key, "object").map((item) => ({ ...item, detection: now.takenFor[item.object] }));
}

// What a cell of the confusion matrix counts.
function cellItems([row, other]) {
  if (row === classes.length) {
    const fits = (detection) => detections.rows[detection] === other && counted(detection) && detectionKind(detection) !== RIGHT
      && !now.confused[detection] && kindFits(detectionKind(detection)) && sizeFits(detections, detection);
    return boxItems(detections, fits, (detection) => detections.scores[detection], "detection");
  }
  const taken = (object) => (now.objectKinds[object] === RIGHT ? objects.foundBy[object] : now.takenFor[object]);
  const fits = (object) => objects.rows[object] === row && (taken(object) < 0 ? classes.length : detections.rows[taken(object)]) === other
    && kindFits(now.objectKinds[object]) && sizeFits(objects, object);
  return boxItems(objects, fits, (object) => areaOf(objects, object), "object").map((item) => ({ ...item, detection: taken(item.object) }));
}

function askedItems() {
  return filters.cell ? cellItems(filters.cell) : VIEWS[filters.view].items();
}

function drawViews(change) {
  byId("views").replaceChildren(...Object.entries(VIEWS).map(([name, view], place) => element("button", {
    type: "button", "data-view": name, "aria-pressed": "false", title: `${view.why} (key ${place + 1})`,
    onclick: () => change({ view: name, cell: null }),
  }, view.title)));
}

function drawFilters(change, save) {
  const rows = classes.map((_, row) => row).sort((a, b) => (classes[a].name.toLowerCase() < classes[b].name.toLowerCase() ? -1 : 1));
  const option = (value, text) => element("option", { value }, text);
  byId("filters").replaceChildren(
    element("label", {}, "Class", element("select", { id: "filter-class", onchange: (event) => change({ row: Number(event.target.value), cell: null }) },
      option(-1, "all classes"), rows.map((row) => option(row, `${classes[row].name} (${objectCounts[row].toLocaleString("en")})`)))),
    element("label", {}, "Size of box, in pixels", element("select", { id: "filter-size", onchange: (event) => change({ size: Number(event.target.value) }) },
      SIZES.map(([title], place) => option(place, title)))),
    element("label", {}, "Image id", element("input", { id: "filter-text", type: "search", placeholder: "part of it", oninput: (event) => change({ text: event.target.value }) })),
    element("label", { class: "check" }, element("input", { id: "filter-ticked", type: "checkbox", onchange: (event) => change({ tickedOnly: event.target.checked }) }), "ticked only"),
    element("button", { type: "button", id: "reset", onclick: () => change({ row: -1, kinds: 0, size: 0, text: "", cell: null, tickedOnly: false }) }, "Reset"),
    element("div", { class: "flags" }, element("span", {}, "with any of"), KIND_ORDER.map((kind) => element("button", {
      type: "button", class: "kind", "data-kind": kind, "aria-pressed": "false", title: KIND_WHY[kinds[kind]], onclick: () => change({ kinds: filters.kinds ^ (1 << kind) }),
    }, kinds[kind], element("b", {})))),
    element("div", { class: "row last" },
      element("button", { type: "button", id: "save", onclick: save }, ""),
      element("button", { type: "button", id: "tick-all", onclick: () => change({}, () => askedItems().forEach(({ image }) => ticked.add(image))) }, "Tick these"),
      element("button", { type: "button", id: "untick-all", onclick: () => change({}, () => ticked.clear()) }, "Untick all"),
      element("span", { class: "quiet", id: "save-note" }, "one id a line, for choose_subset and make_tfrecords --image_ids_path")));
}

// Brings the forms to what the filters say, for they change elsewhere too.
function showFilters() {
  byId("filter-class").value = filters.row;
  byId("filter-size").value = filters.size;
  if (document.activeElement !== byId("filter-text")) byId("filter-text").value = filters.text;
  byId("filter-ticked").checked = filters.tickedOnly;
  for (const chip of byId("filters").querySelectorAll(".kind")) {
    const kind = Number(chip.dataset.kind);
    chip.setAttribute("aria-pressed", filters.kinds & (1 << kind) ? "true" : "false");
    chip.lastChild.textContent = now.kinds[kind].toLocaleString("en");
  }
  for (const button of byId("views").children) {
    button.setAttribute("aria-pressed", !filters.cell && button.dataset.view === filters.view ? "true" : "false");
  }
}

// The images to take along: those that are ticked, else those that are listed; each once, in the order of the list.
function chosenImages(items) {
  return ticked.size ? [...ticked] : [...new Set(items.map(({ image }) => image))];
}

function saveIds(items) {
  const images = chosenImages(items);
  const lines = images.map((image) => ids[image]).filter((id) => id && !/[\r\n]/.test(id));
  const link = element("a", { download: "image_ids.txt", href: URL.createObjectURL(new Blob([lines.map((id) => `${id}\n`).join("")], { type: "text/plain" })) });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  const left = images.length - lines.length;
  byId("save-note").textContent = `saved ${countOf(lines.length, "id")} as image_ids.txt${left ? `; ${countOf(left, "id")} that span several lines left out` : ""}`;
}
