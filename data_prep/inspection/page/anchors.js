// Which boxes the anchors of a pipeline config match, by class and size.

function sumOf(counts) {
  return counts.reduce((total, count) => total + count, 0);
}

function shareCell(matched, count) {
  if (!count) return element("td", { class: "empty" }, "·");
  const share = matched / count;
  const cell = element("td", { class: "share" }, percent(share), element("small", {}, `of ${count.toLocaleString("en")}`));
  cell.style.background = `hsl(${Math.round(8 + share * 142)} 62% ${76 - Math.abs(share - 0.5) * 12}%)`;
  return cell;
}

function drawCoverage(onPick, onPickMissed) {
  const found = data.coverage;
  if (!found) {
    byId("anchors-link").hidden = true;
    return;
  }
  byId("anchors").hidden = false;
  const edges = [0, ...found.size_edges_pixels];
  const sizes = edges.map((low, index) => (index + 1 < edges.length ? `${low}–${edges[index + 1]} px` : `${low}+ px`));
  const rows = Object.keys(found.by_class).map(Number);
  const share = (row) => sumOf(found.by_class[row].matched) / sumOf(found.by_class[row].boxes);
  rows.sort((a, b) => share(a) - share(b) || a - b);
  const input = found.input_height ? `an input of ${found.input_width} x ${found.input_height} pixels` : "inputs that differ with the images";
  const anchors = found.num_anchors ? `${countOf(found.num_anchors, "anchor")} in ` : "";
  const rule = found.matched_threshold === null
    ? "its matcher has no threshold, so that every box is matched by something"
    : `an anchor matches from ${found.similarity.replace("_similarity", "").replace("iou", "IoU")} ${Number(found.matched_threshold.toFixed(3))}`;
  const forced = found.forces_best_anchor && found.matched_threshold !== null
    ? " A box that none matches is learnt from its one best anchor only, however badly that fits." : "";
  const sampled = found.sampled < found.usable
    ? ` Compared were ${found.sampled.toLocaleString("en")} of ${countOf(found.usable, "box", "boxes")}, drawn evenly from the classes; the share above is of all boxes, estimated from these.`
    : "";
  const poor = rows.filter((row) => share(row) < 0.5);
  const verdict = element("p", { class: "verdict" }, element("b", { class: found.share < 0.7 ? "warn" : null }, percent(found.share)),
    `of the boxes have an anchor of ${found.config} that matches them.`,
    poor.length ? ` Of ${countOf(poor.length, "class", "classes")} not even half do.` : "");
  const note = element("p", { class: "quiet" }, `${anchors}${input}; ${rule}.${forced}${sampled} Sizes are the root of a box's area in pixels of the input.`);
  const missed = element("button", { type: "button", onclick: onPickMissed }, "Show images with boxes that no anchor matches");
  const heading = element("tr", {}, ["class", "all sizes", ...sizes, "median best"].map((title) => element("th", {}, title)));
  const line = (name, counts, attributes) => element("tr", attributes, element("td", {}, name),
    shareCell(sumOf(counts.matched), sumOf(counts.boxes)), counts.boxes.map((count, index) => shareCell(counts.matched[index], count)),
    element("td", {}, counts.median_best === null ? "–" : counts.median_best.toFixed(2)));
  const body = element("tbody", {}, line(element("b", {}, found.sampled < found.usable ? "those compared" : "all"), found.total, {}),
    rows.map((row) => line(element("bdi", {}, classes[row].name), found.by_class[row], { class: "pick", onclick: () => onPick(row) })));
  byId("coverage").replaceChildren(verdict, note, missed,
    element("div", { class: "scroll" }, element("table", {}, element("thead", {}, heading), body)));
}
