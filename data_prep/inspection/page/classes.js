// The table of classes.

const classTable = { key: "boxes", falling: true, chosen: -1, search: "" };

function classShare(row) {
  const found = data.coverage?.by_class[row];
  if (!found) return NaN;
  const sum = (counts) => counts.reduce((total, count) => total + count, 0);
  return sum(found.matched) / sum(found.boxes);
}

function suspiciousBoxes(row) {
  // Of the kinds; a box of two kinds counts in both. What no anchor matches has its own column.
  return BOX_FLAGS.filter((flag) => flag.suspicious && flag.word !== "no anchor")
    .reduce((sum, flag) => sum + (classes[row].flags[flag.bit] ?? 0), 0);
}

const hasVerified = classes.some((entry) => entry.present || entry.absent);
const CLASS_COLUMNS = [
  { key: "name", title: "class", value: (row) => classes[row].name.toLowerCase() },
  { key: "boxes", title: "boxes", value: (row) => classes[row].boxes },
  { key: "images", title: "images", value: (row) => classes[row].images },
  ...(hasVerified ? [
    { key: "present", title: "verified", value: (row) => classes[row].present },
    { key: "absent", title: "verified absent", value: (row) => classes[row].absent },
  ] : []),
  ...(sizesKnown ? [{ key: "median", title: "median side", value: (row) => classes[row].median ?? -1 }] : []),
  { key: "suspicious", title: "suspicious", value: suspiciousBoxes },
  ...(data.coverage ? [{ key: "share", title: "anchors match", value: (row) => (Number.isNaN(classShare(row)) ? 2 : classShare(row)) }] : []),
];

function classCell(column, row, most) {
  const entry = classes[row];
  if (column.key === "name") {
    const swatch = element("span", { class: "swatch" });
    swatch.style.background = classColour(row);
    const label = entry.label === entry.name ? null : entry.label;
    return element("td", { title: label }, swatch, element("bdi", {}, entry.name));
  }
  if (column.key === "boxes") {
    const meter = element("span", { class: "meter" });
    meter.style.width = `${entry.boxes ? Math.max(1, (entry.boxes / most) * 60) : 0}px`;
    return element("td", { class: entry.boxes ? null : "warn" }, meter, entry.boxes.toLocaleString("en"));
  }
  if (column.key === "median") return element("td", {}, entry.median === null ? "–" : `${Math.round(entry.median)} px`);
  if (column.key === "share") {
    const share = classShare(row);
    return element("td", { class: share < 0.5 ? "warn" : null }, percent(share));
  }
  return element("td", {}, column.value(row).toLocaleString("en"));
}

function drawClassTable(onPick) {
  const column = CLASS_COLUMNS.find((candidate) => candidate.key === classTable.key);
  const sought = classTable.search.toLowerCase();
  const rows = classes.map((_, row) => row)
    .filter((row) => !sought || `${classes[row].name} ${classes[row].label}`.toLowerCase().includes(sought));
  const keys = new Map(rows.map((row) => [row, column.value(row)]));
  const sign = classTable.falling ? -1 : 1;
  rows.sort((a, b) => sign * (keys.get(a) < keys.get(b) ? -1 : keys.get(a) > keys.get(b) ? 1 : 0) || a - b);
  const most = Math.max(1, ...classes.map((entry) => entry.boxes));
  const heading = element("tr", {}, CLASS_COLUMNS.map((each) => element("th",
    each.key === classTable.key ? { "aria-sort": classTable.falling ? "descending" : "ascending" } : {},
    element("button", {
      type: "button",
      onclick: () => {
        classTable.falling = each.key === classTable.key ? !classTable.falling : !["name", "share"].includes(each.key);
        classTable.key = each.key;
        drawClassTable(onPick);
      },
    }, each.title, each.key === classTable.key ? (classTable.falling ? " ↓" : " ↑") : ""))));
  const lines = rows.map((row) => element("tr", {
    class: "pick", tabindex: 0, "aria-selected": row === classTable.chosen ? "true" : null, "data-class": row,
    onclick: () => onPick(row === classTable.chosen ? -1 : row),
    onkeydown: (event) => {
      if (event.key === "Enter") onPick(row === classTable.chosen ? -1 : row);
    },
  }, CLASS_COLUMNS.map((each) => classCell(each, row, most))));
  byId("class-table").replaceChildren(element("table", {}, element("thead", {}, heading), element("tbody", {}, lines)));
}
