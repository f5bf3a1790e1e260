// Puts the page together, and keeps its parts in step.

function drawOverview() {
  byId("title").textContent = data.title;
  byId("short-title").textContent = data.title;
  byId("source").textContent = `Read from ${data.source}.`;
  const used = classes.filter((entry) => entry.boxes).length;
  const unused = classes.length - used;
  const sides = statistics.all.pixels;
  const measured = sides.reduce((sum, count) => sum + count, 0);
  const small = sides.slice(0, 3).reduce((sum, count) => sum + count, 0);
  byId("tiles").replaceChildren(
    tile(data.numImages.toLocaleString("en"), data.numImages === 1 ? "image" : "images"),
    tile(data.numBoxes.toLocaleString("en"), data.numBoxes === 1 ? "box" : "boxes"),
    tile(used.toLocaleString("en"), unused ? `classes; ${unused.toLocaleString("en")} more have no box` : "classes"),
    tile((data.numBoxes / Math.max(1, data.numImages)).toFixed(1), "boxes per image"),
    ...(measured ? [tile(percent(small / measured), "of boxes below 32 x 32 pixels")] : []),
    ...(data.coverage ? [tile(percent(data.coverage.share), "of boxes have an anchor that matches")] : []));
  byId("kinds").replaceChildren(
    ...BOX_FLAGS.filter((flag) => flag.suspicious && (flag.word !== "no anchor" || data.coverage))
      .map((flag) => kindButton(flag, "bits", statistics.all.flags[flag.bit] ?? 0, "box", "boxes")),
    ...IMAGE_FLAGS.map((flag) => kindButton(flag, "imageBits", statistics.all.imageFlags[flag.bit] ?? 0, "image", "images")));
  const shown = thumbnails.reduce((sum, encoded) => sum + (encoded ? 1 : 0), 0);
  const words = ids.length < data.numImages
    ? `The page lists ${ids.length.toLocaleString("en")} of the ${countOf(data.numImages, "image")}: those with a thumbnail, then the most suspicious, then others at random. `
    : "";
  byId("listed").textContent = `${words}${shown.toLocaleString("en")} of ${countOf(data.numImages, "image")} are shown${shown < data.numImages ? ", chosen by suspicion and in turn for every class; of the others there are the boxes" : ""}. Choose an image to see it at large.`;
}

// What verify_tfrecords would report of the records.
function drawProblems() {
  const problems = data.problems;
  if (!problems || !problems.kinds.length) return;
  byId("problems").replaceChildren(
    element("h2", {}, "What verify_tfrecords reports of the records"),
    element("p", { class: "quiet" }, `${countOf(problems.badRecords, "record")} would stop training; warnings train all the same.`),
    ...problems.kinds.map((entry) => element("details", {},
      element("summary", {}, `${entry.kind}: ${entry.count.toLocaleString("en")}`),
      element("ul", {}, ...entry.examples.map((example) => element("li", {}, element("bdi", {}, example))),
        ...(entry.count > entry.examples.length ? [element("li", { class: "quiet" }, `and ${countOf(entry.count - entry.examples.length, "more", "more")}`)] : [])))));
  byId("problems").hidden = false;
}

function kindButton(flag, kind, count, one, many) {
  return withTip(element("button", {
    type: "button", class: count ? "kind" : "kind none", "data-kind": kind, "data-bit": flag.bit, "aria-pressed": "false",
    onclick: () => {
      const isChosen = filters[kind] & flag.bit;
      Object.assign(filters, { bits: 0, imageBits: 0 });
      filters[kind] = isChosen ? 0 : flag.bit;
      refresh();
      if (!isChosen) byId("images").scrollIntoView();
    },
  }, flag.word, element("b", {}, count.toLocaleString("en"))), `${countOf(count, one, many)}: ${flag.why}`);
}

function drawCharted() {
  const row = filters.row;
  byId("charted").replaceChildren(row < 0 ? element("span", { class: "quiet" }, "of all classes")
    : element("button", { type: "button", id: "all-classes", onclick: () => pickClass(-1) }, "of ", element("bdi", {}, classes[row].name), ": show all classes"));
}

let chartedRow = null;

// Everything that depends on the filters.
function refresh() {
  showFilters();
  if (chartedRow !== filters.row) {
    chartedRow = filters.row;
    classTable.chosen = filters.row;
    drawCharted();
    drawCharts(filters.row, (low, high) => {
      Object.assign(filters, { low, high });
      refresh();
      byId("images").scrollIntoView();
    });
    const scrolled = byId("class-table").scrollTop;
    drawClassTable(pickClass);
    byId("class-table").scrollTop = scrolled;
  }
  drawGallery();
}

function pickClass(row, other = -1) {
  Object.assign(filters, { row, with: other });
  refresh();
}

drawOverview();
drawProblems();
drawFilters(refresh);
if (statistics.together.classes.length > 1) {
  byId("together").replaceChildren(element("h3", {}, "What comes together"),
    element("p", { class: "quiet" }, "the share of a row's images that hold the column's class too; choose a cell to see them"),
    matrixChart(statistics.together, (row, other) => {
      pickClass(row, other);
      byId("images").scrollIntoView();
    }));
} else byId("together").hidden = true;
drawCoverage((row) => {
  pickClass(row);
  byId("images").scrollIntoView();
}, () => {
  Object.assign(filters, { bits: 1 << 13, imageBits: 0 });
  refresh();
  byId("images").scrollIntoView();
});
byId("class-search").addEventListener("input", (event) => {
  classTable.search = event.target.value;
  drawClassTable(pickClass);
});
byId("filters").addEventListener("submit", (event) => event.preventDefault());
byId("more").addEventListener("click", drawMore);
document.addEventListener("keydown", (event) => {
  if (!byId("viewer").open) return;
  if (event.key === "ArrowLeft") stepViewer(-1);
  if (event.key === "ArrowRight") stepViewer(1);
});
refresh();
