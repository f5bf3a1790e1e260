// The images that are asked for, with what is right and wrong in them.

const IMAGES_AT_A_TIME = 36;
const MAX_BOXES = 150; // on a small image
const COLOURS = { right: "#2fbf86", wrong: "#ff6d4d", found: "#6ea8ff", missed: "#f5c518", region: "#b9bdc9" };
const gallery = { items: [], drawn: 0, opened: -1 };

function shapeOf(image) {
  return widths[image] && heights[image] ? widths[image] / heights[image] : 4 / 3;
}

function detectionWords(detection) {
  const kind = detectionKind(detection);
  return `${nameOf(detections.rows[detection])} ${detections.scores[detection].toFixed(2)}${kind === RIGHT ? "" : ` ${kinds[kind]}`}`;
}

function objectWords(object) {
  const name = nameOf(objects.rows[object]);
  const kind = now.objectKinds[object];
  if (kind === RIGHT) return name;
  return now.takenFor[object] >= 0 ? `${name} taken for ${nameOf(detections.rows[now.takenFor[object]])}` : `${name} ${kind === MISSED ? "missed" : `not found: ${kinds[kind]}`}`;
}

// The boxes of an image at the thresholds of now, as what draws them needs: those that matter most come first.
function marksOf({ image, detection, object }) {
  const marks = [];
  const range = (boxes, add) => {
    for (let box = boxes.offsets[image]; box < boxes.offsets[image + 1]; box += 1) add(box);
  };
  const isAboutBoxes = detection >= 0 || object >= 0;
  range(objects, (box) => {
    const isFound = now.objectKinds[box] === RIGHT;
    const isWanted = isAboutBoxes ? box === object || (detection >= 0 && objectOf[detection] === box) : !asksForBoxes() || objectFits(box);
    marks.push({
      key: `o${box}`, edges: edgesOf(objects, box), words: objectWords(box), isWanted, isTold: !isFound || !counted(objects.foundBy[box]),
      colour: isFound ? COLOURS.found : COLOURS.missed, kind: `truth ${isFound ? "found" : "missed"}`, rank: isFound ? 3 : 0,
      row: objects.rows[box], what: isFound ? "found" : now.takenFor[box] >= 0 ? "confused" : now.objectKinds[box] === MISSED ? "missed" : kinds[now.objectKinds[box]], score: null,
    });
  });
  range(detections, (box) => {
    if (!counted(box) && box !== detection) return;
    const isRight = detectionKind(box) === RIGHT;
    const isWanted = isAboutBoxes ? box === detection : !asksForBoxes() || detectionFits(box);
    marks.push({
      key: `d${box}`, edges: edgesOf(detections, box), words: detectionWords(box), isWanted, isTold: true, score: detections.scores[box],
      colour: isRight ? COLOURS.right : COLOURS.wrong, kind: `detection ${isRight ? "right" : "wrong"}`, rank: isRight ? 2 : 1,
      row: detections.rows[box], what: isRight ? "right" : kinds[detectionKind(box)],
    });
  });
  range(regions, (box) => marks.push({
    key: `r${box}`, edges: edgesOf(regions, box), words: `${nameOf(regions.rows[box])} group`, isWanted: !isAboutBoxes, isTold: true, score: null,
    colour: COLOURS.region, kind: "truth region", rank: 4, row: regions.rows[box], what: "group, not counted",
  }));
  return marks.sort((a, b) => b.isWanted - a.isWanted || a.rank - b.rank || (b.score ?? 0) - (a.score ?? 0));
}

function frameOf(item, marks, width, height) {
  const encoded = thumbnails[item.image];
  const frame = element("span", { class: encoded ? "frame" : "frame blank", "data-why": encoded ? null : "no thumbnail" });
  if (encoded) frame.append(element("img", { src: `data:image/jpeg;base64,${encoded}`, alt: ids[item.image], draggable: "false" }));
  const told = marks.filter((mark) => mark.isWanted && mark.isTold);
  const labelled = labelsThatFit(told, (mark) => mark.edges, (mark) => mark.words, width, height);
  const isAboutBoxes = item.detection >= 0 || item.object >= 0;
  // What matters least is drawn first, so that all else lies above it.
  frame.append(...[...marks].reverse().map((mark) => placedBox(mark.edges, mark.colour, mark.words, labelled.get(mark), {
    class: `box ${mark.kind}${mark.isWanted ? (isAboutBoxes ? " wanted" : "") : " other"}`, "data-box": mark.key,
  })));
  return frame;
}

function captionOf({ image, detection, object }) {
  if (object >= 0 && detection >= 0 && now.takenFor[object] === detection) return [element("span", { class: "bad" }, `${objectWords(object)} ${detections.scores[detection].toFixed(2)}`)];
  if (detection >= 0) return [element("span", { class: detectionKind(detection) === RIGHT ? "fine" : "bad" }, detectionWords(detection))];
  if (object >= 0) return [element("span", { class: "bad" }, `${objectWords(object)}, ${Math.round(Math.sqrt(areaOf(objects, object)))} pixels`)];
  const counts = now.byImage[image];
  const all = filters.row < 0 ? now.all : now.byClass[filters.row];
  const loss = lossOf(counts, all);
  return [element("span", { class: "fine" }, `${counts.tp} right`), ", ", element("span", { class: counts.fp ? "bad" : "" }, `${counts.fp} wrong`), ", ",
    element("span", { class: counts.fn ? "bad" : "" }, `${counts.fn} missed`), loss > 0 ? `; costs ${loss.toFixed(loss < 0.001 ? 5 : 4)} of F1` : ""];
}

function setTick(image, on) {
  if (on) ticked.add(image);
  else ticked.delete(image);
  for (const one of byId("gallery").querySelectorAll(`[data-image="${image}"]`)) {
    one.classList.toggle("ticked", on);
    one.querySelector(".tick input").checked = on;
  }
  showChosen();
}

function card(item, place) {
  const marks = marksOf(item).slice(0, MAX_BOXES);
  const { stage, setWidth } = stageFor(shapeOf(item.image), (width, height) => frameOf(item, marks, width, height));
  const isTicked = ticked.has(item.image);
  const tick = element("input", { type: "checkbox", tabindex: -1, "aria-label": `tick ${ids[item.image]}`, onchange: (event) => setTick(item.image, event.target.checked) });
  tick.checked = isTicked;
  const made = element("div", { class: isTicked ? "one ticked" : "one", "data-image": item.image, "data-place": place },
    element("label", { class: "tick" }, tick),
    element("button", { type: "button", class: "image", onclick: () => openViewer(place) }, stage,
      element("span", { class: "caption" }, element("bdi", {}, ids[item.image]), element("small", {}, captionOf(item)))));
  setWidth(made);
  return made;
}

function drawGallery() {
  const focused = document.activeElement?.closest?.(".one")?.dataset.place;
  gallery.items = askedItems();
  gallery.drawn = 0;
  byId("gallery").replaceChildren();
  drawMore();
  if (focused !== undefined) byId("gallery").children[Number(focused)]?.querySelector(".image").focus({ preventScroll: true });
}

function drawMore() {
  const first = gallery.drawn;
  const next = gallery.items.slice(first, first + IMAGES_AT_A_TIME);
  byId("gallery").append(...next.map((item, place) => card(item, first + place)));
  gallery.drawn += next.length;
  const images = new Set(gallery.items.map(({ image }) => image)).size;
  const isOfBoxes = filters.cell || gallery.items.some(({ detection, object }) => detection >= 0 || object >= 0);
  const title = filters.cell ? `${nameOf(filters.cell[0])}, detected as ${nameOf(filters.cell[1])}` : VIEWS[filters.view].why;
  byId("result").textContent = gallery.items.length
    ? `${isOfBoxes ? `${countOf(gallery.items.length, "box", "boxes")} in ` : ""}${countOf(images, "image")} of ${ids.length.toLocaleString("en")}: ${title}. ${gallery.drawn.toLocaleString("en")} drawn below.`
    : "No image is like this. Reset the filters, or move the threshold.";
  byId("more").hidden = gallery.drawn >= gallery.items.length;
  showChosen();
}

function showChosen() {
  const count = chosenImages(gallery.items).length;
  byId("save").textContent = ticked.size ? `Save ids of ${countOf(count, "ticked image")}` : `Save ids of these ${countOf(count, "image")}`;
  byId("save").disabled = !count;
  byId("untick-all").hidden = !ticked.size;
}

// Moves the focus among the cards: by one, or to the nearest one of the next row.
function moveFocus(key) {
  const cards = [...byId("gallery").children];
  const at = cards.findIndex((each) => each.contains(document.activeElement));
  let next = 0;
  if (at >= 0 && (key === "ArrowLeft" || key === "ArrowRight")) next = at + (key === "ArrowRight" ? 1 : -1);
  else if (at >= 0) {
    const here = cards[at].getBoundingClientRect();
    const isDown = key === "ArrowDown";
    const rows = cards.map((each, place) => [place, each.getBoundingClientRect()]).filter(([, box]) => (isDown ? box.top > here.top + 4 : box.top < here.top - 4));
    const top = isDown ? Math.min(...rows.map(([, box]) => box.top)) : Math.max(...rows.map(([, box]) => box.top));
    const row = rows.filter(([, box]) => Math.abs(box.top - top) < 4).sort(([, a], [, b]) => Math.abs(a.left - here.left) - Math.abs(b.left - here.left));
    next = row.length ? row[0][0] : at;
  }
  if (next >= cards.length && gallery.drawn < gallery.items.length) {
    drawMore();
    cards.push(...[...byId("gallery").children].slice(cards.length));
  }
  const chosen = cards[Math.max(0, Math.min(next, cards.length - 1))];
  if (!chosen) return;
  chosen.querySelector(".image").focus({ preventScroll: true });
  chosen.scrollIntoView({ block: "nearest" });
}
