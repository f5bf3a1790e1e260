// Precision over recall, and precision, recall and F1 over the threshold, as SVG.

const CHART = { width: 460, height: 280, left: 34, right: 10, top: 10, bottom: 34 };
const MAX_FAINT = 60; // classes drawn behind that of all

function chartX(share) {
  return CHART.left + share * (CHART.width - CHART.left - CHART.right);
}

function chartY(share) {
  return CHART.height - CHART.bottom - share * (CHART.height - CHART.top - CHART.bottom);
}

function pathOf(points) {
  return points.map(([x, y], place) => `${place ? "L" : "M"}${chartX(x).toFixed(1)} ${chartY(y).toFixed(1)}`).join("");
}

function axes(name, across) {
  const drawing = svgElement("svg", { viewBox: `0 0 ${CHART.width} ${CHART.height}`, role: "img", "aria-label": name });
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    drawing.append(
      svgElement("line", { class: "grid", x1: chartX(0), x2: chartX(1), y1: chartY(share), y2: chartY(share) }),
      svgElement("line", { class: "grid", x1: chartX(share), x2: chartX(share), y1: chartY(0), y2: chartY(1) }),
      svgElement("text", { x: CHART.left - 5, y: chartY(share) + 4, "text-anchor": "end" }, String(share)),
      svgElement("text", { x: chartX(share), y: CHART.height - 20, "text-anchor": "middle" }, String(share)));
  }
  drawing.append(svgElement("text", { x: chartX(0.5), y: CHART.height - 5, "text-anchor": "middle" }, across));
  return drawing;
}

// Calls `choose` with the share of the width where it is clicked or dragged.
function chooseAcross(drawing, choose) {
  drawing.classList.add("chooses");
  const pick = (event) => {
    const { left, width } = drawing.getBoundingClientRect();
    const x = ((event.clientX - left) / width) * CHART.width;
    choose(Math.min(1, Math.max(0, (x - CHART.left) / (CHART.width - CHART.left - CHART.right))));
  };
  drawing.addEventListener("pointerdown", (event) => {
    drawing.setPointerCapture(event.pointerId);
    pick(event);
  });
  drawing.addEventListener("pointermove", (event) => {
    if (drawing.hasPointerCapture(event.pointerId)) pick(event);
  });
}

const charts = { row: null, point: null, line: null, values: [] };

// Draws the curves of a class, or of all (-1); `choose(threshold)` is called with what is picked on them.
function drawCurves(row, choose) {
  const curve = curveOf(row);
  const scores = Array.from({ length: 101 }, (_, step) => step / 100);
  const recallChart = axes("precision over recall", "recall: the share of the objects that is found");
  if (row < 0) {
    classCurves.slice(0, MAX_FAINT).filter((each) => each.total).forEach((each, other) => {
      recallChart.append(svgElement("path", { class: "line faint", d: pathOf(curvePoints(each)), "data-faint": other }));
    });
  }
  if (curve.total) recallChart.append(svgElement("path", { class: "line", d: pathOf(curvePoints(curve)) }));
  charts.point = svgElement("circle", { class: "point", r: 5.5 });
  recallChart.append(charts.point);
  chooseAcross(recallChart, (recall) => {
    const place = curve.right.findIndex((right) => right >= recall * curve.total);
    choose(place < 0 ? 0 : curve.scores[place]);
  });
  const scoreChart = axes("precision, recall and F1 over the threshold", "threshold: the score from which detections count");
  const counts = scores.map((score) => countsAt(curve, score));
  for (const [name, of] of [["precision", precisionOf], ["recall", recallOf], ["f1", f1Of]]) {
    const points = counts.map((each, place) => [scores[place], of(each)]).filter(([, value]) => !Number.isNaN(value));
    scoreChart.append(svgElement("path", { class: `line ${name}`, d: pathOf(points) }));
  }
  charts.line = svgElement("line", { class: "now", y1: chartY(0), y2: chartY(1) });
  charts.values = ["precision", "recall", "f1"].map((name) => element("span", { class: name }));
  scoreChart.append(charts.line);
  chooseAcross(scoreChart, choose);
  const of = row < 0 ? "of all classes together, each class faintly behind" : "of this class";
  const title = (words) => (row < 0 ? words : element("span", {}, words, " of ", element("bdi", {}, nameOf(row))));
  byId("charts").replaceChildren(
    chartCard(title("Precision over recall"), `${of}; the ring is the threshold`, recallChart),
    chartCard(title("Precision, recall, F1"), element("span", { class: "values" }, "by the threshold", charts.values), scoreChart));
  byId("charts").classList.add("two");
  charts.row = row;
}

// Brings the marks to the counts of now.
function markCurves() {
  const row = charts.row;
  const counts = row < 0 ? now.all : now.byClass[row];
  const [precision, recall, f1] = [precisionOf(counts), recallOf(counts), f1Of(counts)];
  charts.point.setAttribute("cx", chartX(recall || 0));
  charts.point.setAttribute("cy", chartY(precision || 0));
  charts.point.toggleAttribute("hidden", Number.isNaN(precision) || Number.isNaN(recall));
  const threshold = row < 0 ? sharedThreshold() : thresholds[row];
  charts.line.toggleAttribute("hidden", threshold === null);
  if (threshold !== null) {
    charts.line.setAttribute("x1", chartX(Math.min(1, threshold)));
    charts.line.setAttribute("x2", chartX(Math.min(1, threshold)));
  }
  [["precision", precision], ["recall", recall], ["F1", f1]].forEach(([name, value], place) => {
    charts.values[place].textContent = `${name} ${figure(value)}`;
  });
}

// The threshold of all classes, or null where they have thresholds of their own.
function sharedThreshold() {
  return thresholds.every((threshold) => threshold === thresholds[0]) ? thresholds[0] ?? null : null;
}
