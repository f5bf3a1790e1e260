// Charts, drawn as SVG.

const WIDTH = 460;
const HEIGHT = 190;

// bars: [{label, count, tip, pick}]; a bar with `pick` can be clicked.
function barChart(bars, { labelEvery = 1, name = "bars" } = {}) {
  const [left, bottom, top] = [4, 20, 14];
  const most = Math.max(1, ...bars.map((bar) => bar.count));
  const step = (WIDTH - 2 * left) / bars.length;
  const floor = HEIGHT - bottom;
  const drawing = svgElement("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": name });
  drawing.append(svgElement("line", { class: "axis", x1: left, x2: WIDTH - left, y1: floor, y2: floor }));
  bars.forEach((bar, index) => {
    const height = bar.count ? Math.max(1.5, (bar.count / most) * (floor - top)) : 0;
    const x = left + index * step;
    const group = svgElement("g", bar.pick ? { class: "clickable", onclick: bar.pick } : {},
      svgElement("rect", { class: "hit", x, y: top, width: step, height: floor - top }),
      svgElement("rect", { class: "bar", x: x + step * 0.1, y: floor - height, width: step * 0.8, height, rx: 2 }));
    if (bars.length <= 14 && bar.count) {
      group.append(svgElement("text", { class: "value", x: x + step / 2, y: floor - height - 3, "text-anchor": "middle" }, compact(bar.count)));
    }
    if (index % labelEvery === 0) {
      group.append(svgElement("text", { x: x + step / 2, y: HEIGHT - 5, "text-anchor": "middle" }, bar.label));
    }
    drawing.append(withTip(group, bar.tip));
  });
  return drawing;
}

// counts: row by row from the top left, `grid` by `grid`.
function heatMap(counts, grid) {
  const side = HEIGHT / grid;
  const x0 = (WIDTH - HEIGHT * 1.33) / 2;
  const most = Math.max(1, ...counts);
  const drawing = svgElement("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": "where boxes lie" });
  drawing.append(svgElement("rect", { class: "axis", x: x0, y: 0, width: HEIGHT * 1.33, height: HEIGHT, fill: "none" }));
  counts.forEach((count, index) => {
    const cell = svgElement("rect", {
      class: "heat cell", x: x0 + (index % grid) * side * 1.33, y: Math.floor(index / grid) * side,
      width: side * 1.33, height: side, "fill-opacity": count ? 0.06 + 0.94 * Math.sqrt(count / most) : 0.02,
    });
    drawing.append(withTip(cell, `${countOf(count, "box", "boxes")} with the middle here`));
  });
  return drawing;
}

// sizes: [width, height, images]; a dot's area is its images.
function sizeChart(sizes) {
  const [left, bottom] = [40, 24];
  const largest = Math.max(1, ...sizes.map(([width]) => width));
  const tallest = Math.max(1, ...sizes.map(([, height]) => height));
  const most = Math.max(1, ...sizes.map(([, , count]) => count));
  const x = (width) => left + (width / (largest * 1.06)) * (WIDTH - left - 12);
  const y = (height) => HEIGHT - bottom - (height / (tallest * 1.1)) * (HEIGHT - bottom - 8);
  const drawing = svgElement("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": "sizes of images" },
    svgElement("line", { class: "axis", x1: left, x2: WIDTH, y1: HEIGHT - bottom, y2: HEIGHT - bottom }),
    svgElement("line", { class: "axis", x1: left, x2: left, y1: 0, y2: HEIGHT - bottom }));
  for (const share of [0.5, 1]) {
    const [across, up] = [Math.round(largest * share), Math.round(tallest * share)];
    drawing.append(
      svgElement("text", { x: x(across), y: HEIGHT - 8, "text-anchor": "middle" }, String(across)),
      svgElement("text", { x: left - 5, y: y(up) + 4, "text-anchor": "end" }, String(up)));
  }
  for (const [width, height, count] of sizes) {
    const dot = svgElement("circle", { class: "dot", cx: x(width), cy: y(height), r: 2.5 + 14 * Math.sqrt(count / most) });
    drawing.append(withTip(dot, `${width} x ${height}: ${countOf(count, "image")}`));
  }
  return drawing;
}

// What goes with what: the share of the row's images that hold the column's class too.
function matrixChart(together, onPick) {
  const rows = together.classes;
  const cell = 20;
  const left = 124;
  const top = 96;
  const size = rows.length * cell;
  const drawing = svgElement("svg", {
    viewBox: `0 0 ${left + size + 40} ${top + size + 4}`, role: "img", "aria-label": "classes that come together",
  });
  const short = (row, length) => {
    const name = classes[row].name;
    return name.length > length ? `${name.slice(0, length - 1)}…` : name;
  };
  rows.forEach((row, down) => {
    const middle = top + down * cell + cell / 2 + 4;
    drawing.append(svgElement("text", { class: "name", x: left - 6, y: middle, "text-anchor": "end" }, short(row, 18)));
    const across = left + down * cell + cell / 2 + 4;
    drawing.append(svgElement("text", { class: "name", x: across, y: top - 6, transform: `rotate(-50 ${across} ${top - 6})` }, short(row, 16)));
    rows.forEach((other, right) => {
      const count = together.counts[down][right];
      const share = count / Math.max(1, together.counts[down][down]);
      const same = row === other;
      const rect = svgElement("rect", {
        class: same ? "cell" : "heat cell clickable", x: left + right * cell + 1, y: top + down * cell + 1, width: cell - 2, height: cell - 2,
        rx: 3, "fill-opacity": same ? 0.35 : count ? 0.08 + 0.92 * Math.sqrt(share) : 0.03, fill: same ? "var(--quiet)" : null,
        onclick: () => onPick(row, same ? -1 : other),
      });
      const words = same
        ? `${classes[row].name}: ${countOf(count, "image")}`
        : `${percent(share)} of the ${countOf(together.counts[down][down], "image")} with ${classes[row].name}\nhold ${classes[other].name} too (${count.toLocaleString("en")})`;
      drawing.append(withTip(rect, words));
    });
  });
  return drawing;
}

function rangeLabel(edges, index, unit) {
  const [low, high] = [edges[index], edges[index + 1]];
  return high === null ? `${low} ${unit} and more` : `${low} to ${high} ${unit}`;
}

function shareWords(total) {
  return (count) => `${countOf(count, "box", "boxes")}, ${percent(count / Math.max(1, total))}`;
}

// row: a class, or -1 for all; pickSides(low, high) filters the images.
function drawCharts(row, pickSides) {
  const { edges, grid, sizes } = statistics;
  const charts = row < 0 ? statistics.all : classes[row].charts;
  const drawn = [];
  if (!charts) {
    const why = classes[row].boxes ? "Only the most frequent classes have charts of their own." : "This class has no boxes.";
    drawn.push(chartCard(classes[row].name, why, element("span")));
  } else {
    const total = charts.shares.reduce((sum, count) => sum + count, 0);
    const words = shareWords(total);
    drawn.push(chartCard("Boxes per image", row < 0 ? "images by how many boxes they have" : "images by how many boxes of the class they have",
      barChart(charts.counts.map((count, index) => {
        const [low, high] = [edges.counts[index], edges.counts[index + 1]];
        const range = high === null ? `${low} and more` : high - low > 1 ? `${low} to ${high - 1}` : String(low);
        const label = high === null || high - low > 1 ? `${low}+` : String(low);
        return { label, count, tip: `${range} ${range === "1" ? "box" : "boxes"}: ${countOf(count, "image")}` };
      }), { name: "boxes per image" })));
    if (sizesKnown) {
      drawn.push(chartCard("Size of boxes, in pixels", "root of the area; choose a bar to see its images",
        barChart(charts.pixels.map((count, index) => ({
          label: edges.pixels[index + 1] === null ? `${edges.pixels[index]}+` : `<${edges.pixels[index + 1]}`, count,
          tip: `${rangeLabel(edges.pixels, index, "pixels")}: ${words(count)}`,
          pick: () => pickSides(edges.pixels[index], edges.pixels[index + 1]),
        })), { name: "size of boxes in pixels" })));
    }
    drawn.push(chartCard("Size of boxes, relative", "root of the share of the image that they cover",
      barChart(charts.shares.map((count, index) => ({
        label: percent(edges.shares[index]), count,
        tip: `${percent(edges.shares[index])} to ${percent(edges.shares[index + 1])} of the side: ${words(count)}`,
      })), { labelEvery: 4, name: "relative size of boxes" })));
    if (sizesKnown) {
      drawn.push(chartCard("Aspect ratio of boxes", "width to height, in pixels: tall on the left, wide on the right",
        barChart(charts.ratios.map((count, index) => {
          const ratio = 2 ** ((edges.ratios[index] + edges.ratios[index + 1]) / 2);
          const label = ratio >= 1 ? `${Number(ratio.toFixed(1))}:1` : `1:${Number((1 / ratio).toFixed(1))}`;
          return { label, count, tip: `about ${label}: ${words(count)}` };
        }), { labelEvery: 4, name: "aspect ratio of boxes" })));
    }
    drawn.push(chartCard("Where boxes lie", "the middles of boxes in their images", heatMap(charts.centers, grid)));
  }
  if (sizes.top.length) {
    const rest = sizes.others ? `; ${countOf(sizes.others, "image")} of rarer sizes not drawn` : "";
    const unknown = sizes.unknown ? `; ${countOf(sizes.unknown, "size")} not known` : "";
    drawn.push(chartCard("Size of images", `${countOf(sizes.distinct, "size")}, width across, height up, all classes${rest}${unknown}`, sizeChart(sizes.top)));
  }
  byId("charts").replaceChildren(...drawn);
}
