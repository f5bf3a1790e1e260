// Puts the page together, and keeps its parts in step.

const METRIC_WORDS = {
  "DetectionBoxes_Precision/mAP": ["AP", "COCO's average precision: over all classes, and over how exactly boxes must fit (IoU 0.50 to 0.95)"],
  "DetectionBoxes_Precision/mAP@.50IOU": ["AP@.50", "the same where an IoU of 0.5 is enough"],
  "PascalBoxes_Precision/mAP@0.5IOU": ["Pascal AP@.50", "Pascal VOC's average precision"],
  "OpenImagesV2_Precision/mAP@0.5IOU": ["Open Images AP@.50", "Open Images' average precision"],
  "OpenImagesDetectionChallenge_Precision/mAP@0.5IOU": ["Challenge AP@.50", "the Open Images challenge's average precision"],
  "DetectionBoxes_Recall/AR@100": ["AR@100", "the recall that 100 detections an image give, over the same IoUs"],
  "Calibration/ExpectedCalibrationError": ["calibration error", "how far scores are from the share that is right, on average"],
};
const REDRAW_MILLISECONDS = 120;

function drawHead() {
  byId("title").textContent = data.title;
  byId("short-title").textContent = data.title;
  byId("source").textContent = `${countOf(ids.length, "image")}, ${countOf(objects.count, "object")} of ${countOf(classes.length, "class", "classes")}, ${countOf(detections.count, "detection")}`
    + `${data.lowestScore > 0 ? `, of which those below a score of ${data.lowestScore.toPrecision(3)} are left out here` : ""}; matched at an IoU of 0.5.`;
  const shown = data.numShown;
  const megabytes = (thumbnails.reduce((sum, encoded) => sum + (encoded ? encoded.length : 0), 0) / 1e6).toFixed(1);
  const of = shown === ids.length ? "Every image has a thumbnail" : `${shown.toLocaleString("en")} of ${countOf(ids.length, "image")} have a thumbnail`;
  const which = shown < ids.length && shown ? ", the worst ones; of the others there are the boxes" : "";
  byId("shown").textContent = `${of}${which} (${megabytes} MB of ${data.thumbnailMegabytes} that the page may hold, up to ${data.thumbnailSide} pixels wide). Choose one to see it at large.`;
}

function drawTiles() {
  const { all } = now;
  const measured = Object.entries(data.metrics).map(([name, value]) => withTip(tile(figure(value), METRIC_WORDS[name][0]), METRIC_WORDS[name][1]));
  byId("tiles").replaceChildren(...measured,
    withTip(tile(figure(precisionOf(all)), "precision at this threshold"), "the share of the detections that are right"),
    withTip(tile(figure(recallOf(all)), "recall at this threshold"), "the share of the objects that are found"),
    withTip(tile(figure(f1Of(all)), "F1 at this threshold"), "the harmonic mean of precision and recall"));
}

function drawMeaning() {
  const { all } = now;
  const one = sharedThreshold();
  const at = one === null ? "With the classes' own thresholds" : `From a score of ${figure(one)} on`;
  const known = classes.map((_, row) => row).filter((row) => objectCounts[row]);
  const worst = known.sort((a, b) => (f1Of(now.byClass[a]) || 0) - (f1Of(now.byClass[b]) || 0))[0];
  const kind = KIND_ORDER.reduce((most, each) => (now.kinds[each] > now.kinds[most] ? each : most), KIND_ORDER[0]);
  const said = [`${at} there are ${countOf(all.tp + all.fp, "detection")}: ${all.tp.toLocaleString("en")} are right (precision ${percent(precisionOf(all))}) and ${all.fp.toLocaleString("en")} are not. `
    + `${all.tp.toLocaleString("en")} of ${countOf(objects.count, "object")} are found (recall ${percent(recallOf(all))}), ${all.fn.toLocaleString("en")} are not.`];
  const more = [];
  if (worst !== undefined) more.push("The weakest class is ", element("bdi", {}, nameOf(worst)), ` (F1 ${figure(f1Of(now.byClass[worst]))}). `);
  if (now.kinds[kind]) more.push(`The most frequent mistake is ${kinds[kind]}, ${countOf(now.kinds[kind], "time")}: ${KIND_WHY[kinds[kind]]}. `);
  const ap = Object.entries(data.metrics).filter(([name]) => METRIC_WORDS[name][0] !== "calibration error").slice(0, 2)
    .map(([name, value]) => `${METRIC_WORDS[name][0]} ${figure(value)} is ${METRIC_WORDS[name][1]}.`).join(" ");
  byId("meaning").replaceChildren(element("h3", {}, "What this means"), element("p", {}, said), element("p", {}, more),
    element("p", { class: "quiet" }, `${ap} A threshold that is raised leaves out wrong detections and some right ones: precision rises, recall falls, and F1 is highest where both are in balance.`));
}

function drawThreshold() {
  const row = filters.row;
  const value = row < 0 ? sharedThreshold() : thresholds[row];
  byId("threshold-class").value = row;
  const number = byId("threshold-number");
  if (document.activeElement !== number) number.value = value === null || !Number.isFinite(value) ? "" : Number(value.toFixed(6));
  number.placeholder = value === null ? "own" : "none";
  if (document.activeElement !== byId("threshold-slider") && value !== null) byId("threshold-slider").value = Math.min(1, value);
  const counts = row < 0 ? now.all : now.byClass[row];
  const entries = [["tp", "TP", counts.tp], ["fp", "FP", counts.fp], ["fn", "FN", counts.fn], ["", "precision", figure(precisionOf(counts))], ["", "recall", figure(recallOf(counts))], ["", "F1", figure(f1Of(counts))]];
  byId("live").replaceChildren(...entries.map(([name, words, text]) => element("span", { class: name }, `${words} `, element("b", {}, text.toLocaleString("en")))));
  for (const button of byId("presets").children) button.setAttribute("aria-pressed", button.isOn() ? "true" : "false");
}

function makeThreshold() {
  byId("threshold-class").append(element("option", { value: -1 }, "all classes"), ...classes.map((each, row) => element("option", { value: row }, each.name)));
  byId("threshold-class").addEventListener("change", (event) => change({ row: Number(event.target.value), cell: null }));
  byId("threshold-slider").addEventListener("input", (event) => setThreshold(Number(event.target.value)));
  byId("threshold-number").addEventListener("input", (event) => {
    if (event.target.value !== "" && event.target.validity.valid) setThreshold(Number(event.target.value));
  });
  const own = classes.map((each) => each.threshold ?? Infinity);
  const preset = (text, title, values) => {
    const made = element("button", { type: "button", title, onclick: () => {
      thresholds.set(values);
      changed();
    } }, text);
    made.isOn = () => values.every((value, row) => value === thresholds[row]);
    return made;
  };
  const same = (value) => classes.map(() => value);
  byId("presets").append(preset("0.5", "what a client takes by default", same(0.5)),
    preset(`best for ${data.criterion}: ${figure(data.threshold)}`, "one threshold for all classes", same(data.threshold)),
    preset("one a class", `each class's own threshold for ${data.criterion}`, own));
}

// Of the chosen class, or of all.
function setThreshold(value) {
  if (filters.row < 0) thresholds.fill(value);
  else thresholds[filters.row] = value;
  changed();
}

function moveThreshold(by) {
  const at = filters.row < 0 ? sharedThreshold() ?? data.threshold : thresholds[filters.row];
  setThreshold(Math.min(1, Math.max(0, Math.round((Math.min(at, 1) + by) * 1000) / 1000)));
}

let redraw = 0;

// After the thresholds: the counts at once, the images when there is time.
function changed() {
  recount();
  drawCounts();
  clearTimeout(redraw);
  redraw = setTimeout(drawImages, REDRAW_MILLISECONDS);
}

function drawCounts() {
  drawThreshold();
  drawTiles();
  drawMeaning();
  if (charts.row !== filters.row) drawCurves(filters.row, setThreshold);
  markCurves();
  drawClassTable(filters.row, (row) => change({ row, cell: null }));
  showMatrix(filters.cell);
  drawKinds(filters.kinds, (kind) => {
    change({ kinds: filters.kinds === 1 << kind ? 0 : 1 << kind, view: kind === MISSED ? "missed" : "wrong", cell: null });
    byId("images").scrollIntoView();
  });
}

function drawImages() {
  const opened = byId("viewer").open ? gallery.items[gallery.opened] : null;
  showFilters();
  drawGallery();
  if (!opened) return;
  // The image stays the one that is looked at, wherever it is now.
  const place = gallery.items.findIndex((item) => item.image === opened.image && item.detection === opened.detection && item.object === opened.object);
  if (place >= 0) openViewer(place);
  else {
    gallery.items.unshift(opened);
    openViewer(0);
  }
}

function change(some, act = null) {
  act?.();
  Object.assign(filters, some);
  drawCounts();
  drawImages();
}

const KEYS = {
  g: () => toggleShown("truth"),
  d: () => toggleShown("detections"),
  n: () => toggleShown("names"),
  "[": () => moveThreshold(-0.01),
  "]": () => moveThreshold(0.01),
  s: () => saveIds(gallery.items),
};

function onKey(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || event.target.matches("input:not([type=checkbox]), select, textarea")) return;
  const viewer = byId("viewer");
  const view = Object.keys(VIEWS)[Number(event.key) - 1];
  if (viewer.open && (event.key === "ArrowLeft" || event.key === "ArrowRight")) stepViewer(event.key === "ArrowRight" ? 1 : -1);
  else if (event.key === "x") {
    const image = viewer.open ? gallery.items[gallery.opened].image : Number(document.activeElement?.closest(".one")?.dataset.image ?? -1);
    if (image < 0) return;
    setTick(image, !ticked.has(image));
    if (viewer.open) byId("viewer-tick").checked = ticked.has(image);
  } else if (KEYS[event.key]) KEYS[event.key]();
  else if (viewer.open) return;
  else if (event.key.startsWith("Arrow") && (event.target.closest(".gallery") || event.target === document.body)) moveFocus(event.key);
  else if (event.key === "/") byId("filter-text").focus();
  else if (view) change({ view, cell: null });
  else return;
  event.preventDefault();
}

drawHead();
makeThreshold();
recount();
makeMatrix((row, other) => {
  const isChosen = filters.cell && filters.cell[0] === row && filters.cell[1] === other;
  change({ cell: isChosen ? null : [row, other], row: -1 });
  if (!isChosen) byId("images").scrollIntoView();
});
drawViews(change);
drawFilters(change, () => saveIds(gallery.items));
byId("shown").after(legend());
byId("filters").addEventListener("submit", (event) => event.preventDefault());
byId("more").addEventListener("click", drawMore);
byId("viewer").addEventListener("close", () => byId("gallery").children[gallery.opened]?.querySelector(".image").focus());
document.addEventListener("keydown", onKey);
applyShown();
drawCounts();
drawImages();
