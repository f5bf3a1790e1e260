// The table of classes, the confusion matrix, and the kinds of mistakes.

const MAX_MATRIX_CLASSES = 30;
const classTable = { key: "objects", falling: true };
const precisions = classes.map((_, row) => averagePrecision(row));
const CLASS_COLUMNS = [
  { key: "name", title: "class", value: (row) => classes[row].name.toLowerCase(), text: (row) => classes[row].name },
  { key: "objects", title: "objects", value: (row) => objectCounts[row] },
  { key: "ap", title: "AP@.50", value: (row) => precisions[row], text: (row) => figure(precisions[row]) },
  { key: "threshold", title: "threshold", value: (row) => thresholds[row], text: (row) => (Number.isFinite(thresholds[row]) ? figure(thresholds[row]) : "none") },
  { key: "tp", title: "TP", value: (row) => now.byClass[row].tp },
  { key: "fp", title: "FP", value: (row) => now.byClass[row].fp },
  { key: "fn", title: "FN", value: (row) => now.byClass[row].fn },
  { key: "precision", title: "precision", value: (row) => precisionOf(now.byClass[row]), text: (row) => figure(precisionOf(now.byClass[row])) },
  { key: "recall", title: "recall", value: (row) => recallOf(now.byClass[row]), text: (row) => figure(recallOf(now.byClass[row])) },
  { key: "f1", title: "F1", value: (row) => f1Of(now.byClass[row]), text: (row) => figure(f1Of(now.byClass[row])) },
];

function drawClassTable(chosen, pick) {
  const by = CLASS_COLUMNS.find((each) => each.key === classTable.key);
  const sign = classTable.falling ? -1 : 1;
  const key = (row) => (Number.isNaN(by.value(row)) ? sign * Infinity : by.value(row));
  const rows = classes.map((_, row) => row).sort((a, b) => sign * (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0) || a - b);
  const heading = CLASS_COLUMNS.map((each) => element("th",
    each === by ? { "aria-sort": classTable.falling ? "descending" : "ascending" } : {},
    element("button", {
      type: "button",
      onclick: () => {
        classTable.falling = each === by ? !classTable.falling : ["objects", "fp", "fn"].includes(each.key);
        classTable.key = each.key;
        drawClassTable(chosen, pick);
      },
    }, each.title, each === by ? (classTable.falling ? " ↓" : " ↑") : "")));
  const lines = rows.map((row) => element("tr", {
    class: "pick", tabindex: 0, "data-class": row, "aria-selected": row === chosen ? "true" : null,
    onclick: () => pick(row === chosen ? -1 : row),
    onkeydown: (event) => {
      if (event.key === "Enter") pick(row === chosen ? -1 : row);
    },
  }, CLASS_COLUMNS.map((each) => element("td", { class: each.key }, element("bdi", {}, String(each.text ? each.text(row) : each.value(row)))))));
  const all = now.all;
  const one = sharedThreshold();
  const sums = ["all", objects.count, figure(meanPrecision()), one === null ? "own" : figure(one), all.tp, all.fp, all.fn,
    figure(precisionOf(all)), figure(recallOf(all)), figure(f1Of(all))];
  const first = element("tr", { class: "all" }, sums.map((text) => element("td", {}, String(text))));
  const scroll = byId("class-table").scrollTop;
  byId("class-table").replaceChildren(element("table", {}, element("thead", {}, element("tr", {}, heading)), element("tbody", {}, first, lines)));
  byId("class-table").scrollTop = scroll;
}

function meanPrecision() {
  const known = precisions.filter((value) => !Number.isNaN(value));
  return known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : NaN;
}

const matrix = { rows: [], cells: [] };

// pick(row, column) is called with what is chosen; both may be that of background.
function makeMatrix(pick) {
  const mistakes = classes.map((_, row) => now.byClass[row].fp + now.byClass[row].fn);
  const rows = classes.map((_, row) => row).sort((a, b) => mistakes[b] - mistakes[a] || a - b).slice(0, MAX_MATRIX_CLASSES).sort((a, b) => a - b);
  matrix.rows = [...rows, classes.length];
  const some = classes.length > rows.length ? `The ${rows.length} of ${classes.length} classes with the most mistakes. ` : "";
  byId("matrix-note").textContent = `${some}A row is what an object is, a column what it is detected as; background: nothing is there, or nothing is detected. Choose a cell to see its images.`;
  matrix.cells = [];
  const lines = matrix.rows.map((row) => element("tr", {}, element("th", { title: nameOf(row) }, element("bdi", {}, nameOf(row))),
    matrix.rows.map((other) => {
      const button = element("button", { type: "button", onclick: () => pick(row, other) });
      const cell = element("td", { "data-cell": `${row} ${other}` }, button);
      matrix.cells.push({ cell, button, row, other });
      return cell;
    })));
  const heading = element("tr", {}, element("th"), matrix.rows.map((row) => element("th", { title: nameOf(row) }, element("span", {}, nameOf(row)))));
  byId("matrix").replaceChildren(element("table", {}, element("thead", {}, heading), element("tbody", {}, lines)));
}

function showMatrix(chosen) {
  const most = Math.max(1, ...matrix.cells.filter(({ row, other }) => row !== other).map(({ row, other }) => inCell(row, other)));
  for (const { cell, button, row, other } of matrix.cells) {
    const count = inCell(row, other);
    const isNothing = row === classes.length && other === classes.length;
    const depth = row === other ? (count ? 30 : 0) : count ? 12 + 70 * Math.sqrt(count / most) : 0;
    const text = isNothing ? "" : count ? compact(count) : "·";
    if (button.textContent !== text) button.textContent = text;
    button.title = `${countOf(count, "object")}: ${nameOf(row)}, detected as ${nameOf(other)}`;
    button.disabled = isNothing;
    cell.style.background = `color-mix(in srgb, var(${row === other ? "--right" : "--wrong"}) ${depth}%, transparent)`;
    cell.classList.toggle("chosen", chosen !== null && chosen[0] === row && chosen[1] === other);
  }
}

function drawKinds(chosen, pick) {
  const most = Math.max(1, ...now.kinds);
  const lines = KIND_ORDER.map((kind) => {
    const meter = element("span", { class: "meter" });
    meter.style.width = `${now.kinds[kind] ? Math.max(2, (now.kinds[kind] / most) * 70) : 0}px`;
    return element("tr", {
      class: "pick", tabindex: 0, "data-kind": kinds[kind], "aria-selected": chosen & (1 << kind) ? "true" : null, onclick: () => pick(kind),
      onkeydown: (event) => {
        if (event.key === "Enter") pick(kind);
      },
    }, element("td", {}, element("b", {}, kinds[kind]), element("small", {}, KIND_WHY[kinds[kind]])),
    element("td", {}, meter, now.kinds[kind].toLocaleString("en")), element("td", {}, figure(data.costs[kind])));
  });
  const heading = element("tr", {}, ["kind", "here", "AP lost"].map((title) => element("th", {}, title)));
  byId("kinds").replaceChildren(
    element("table", {}, element("thead", {}, heading), element("tbody", {}, lines)),
    element("p", { class: "quiet" }, "AP lost: by how much AP@.50 would rise if mistakes of this kind alone were mended, over all thresholds (TIDE)."));
}
