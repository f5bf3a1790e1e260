// The images that are asked for, and one of them at large.

const IMAGES_AT_A_TIME = 48;
const MAX_BOXES = 400; // on a small image
const gallery = { found: [], drawn: 0, opened: -1 };

function shapeOf(image) {
  return widths[image] && heights[image] ? widths[image] / heights[image] : 4 / 3;
}

function boxWords(box) {
  return BOX_FLAGS.filter((flag) => boxFlags[box] & flag.bit).map((flag) => flag.word);
}

// The image, or a blank in its shape, with its boxes; `width` and `height` are what it will about have, in pixels.
function frameOf(image, large, width, height) {
  const encoded = thumbnails[image];
  const why = imageFlags[image] & NO_IMAGE ? "no image" : "no thumbnail";
  const frame = element("span", { class: encoded ? "frame" : "frame blank", "data-why": encoded ? null : why });
  if (encoded) frame.append(element("img", { src: `data:image/jpeg;base64,${encoded}`, alt: ids[image], draggable: "false" }));
  const asks = asksForBoxes();
  const rows = [];
  for (let box = offsets[image]; box < offsets[image + 1]; box += 1) {
    const asked = !asks || boxAsked(image, box);
    if (asked || large || !filters.alone) rows.push([box, asked]);
  }
  // Small ones last, so that they lie above large ones; those that are not asked for below all others.
  rows.sort(([a, askedA], [b, askedB]) => askedA - askedB || boxShare(b) - boxShare(a));
  const kept = large ? rows : rows.slice(-MAX_BOXES);
  const isSuspicious = (box) => BOX_FLAGS.some((flag) => flag.suspicious && boxFlags[box] & flag.bit);
  const wanted = kept.filter(([, asked]) => asked).map(([box]) => box).sort((a, b) => isSuspicious(b) - isSuspicious(a));
  const labelled = labelsThatFit(wanted, edgesOf, (box) => classes[boxClasses[box]].name, width, height);
  frame.append(...kept.map(([box, asked]) => boxElement(box, asked, labelled.get(box))));
  return frame;
}

function edgesOf(box) {
  return [0, 1, 2, 3].map((edge) => boxes[4 * box + edge] / STEPS);
}

function boxElement(box, asked, place) {
  return placedBox(edgesOf(box), classColour(boxClasses[box]), classes[boxClasses[box]].name, place, { class: asked ? "box" : "box other", "data-box": box });
}

function card(image) {
  const { stage, setWidth } = stageFor(shapeOf(image), (width, height) => frameOf(image, false, width, height));
  const count = offsets[image + 1] - offsets[image];
  const size = widths[image] ? `${widths[image]} x ${heights[image]}, ` : "";
  const made = element("button", { type: "button", class: "image", "data-image": image, onclick: () => openViewer(image) }, stage,
    element("span", { class: "caption" }, element("bdi", {}, ids[image]), element("small", {}, `${size}${countOf(count, "box", "boxes")}`), tagsOf(image)));
  setWidth(made);
  return made;
}

function tagsOf(image) {
  const counts = new Map();
  for (const flag of IMAGE_FLAGS) if (imageFlags[image] & flag.bit) counts.set(flag.word, 0);
  for (let box = offsets[image]; box < offsets[image + 1]; box += 1) {
    for (const flag of BOX_FLAGS) {
      if (flag.suspicious && boxFlags[box] & flag.bit) counts.set(flag.word, (counts.get(flag.word) ?? 0) + 1);
    }
  }
  if (!counts.size) return null;
  return element("span", { class: "tags" }, [...counts].map(([word, count]) => element("span", { class: "tag" }, count ? `${count} ${word}` : word)));
}

function drawGallery() {
  gallery.found = askedImages();
  gallery.drawn = 0;
  byId("gallery").replaceChildren();
  drawMore();
}

function drawMore() {
  const next = gallery.found.slice(gallery.drawn, gallery.drawn + IMAGES_AT_A_TIME);
  byId("gallery").append(...next.map(card));
  gallery.drawn += next.length;
  const seen = gallery.found.reduce((sum, image) => sum + (thumbnails[image] ? 1 : 0), 0);
  const listed = ids.length < data.numImages ? "listed " : "";
  byId("result").textContent = gallery.found.length
    ? `${gallery.found.length.toLocaleString("en")} of ${ids.length.toLocaleString("en")} ${listed}images, ${seen.toLocaleString("en")} with a thumbnail; ${gallery.drawn.toLocaleString("en")} drawn below.`
    : "No image is like this. Reset the filters to see all.";
  byId("more").hidden = gallery.drawn >= gallery.found.length;
}

function stepViewer(by) {
  const next = gallery.found[gallery.opened + by];
  if (next !== undefined) openViewer(next);
}

function openViewer(image) {
  const place = gallery.found.indexOf(image);
  gallery.opened = place;
  const viewer = byId("viewer");
  const light = (box, on) => viewer.querySelector(`[data-box="${box}"]`)?.classList.toggle("lit", on);
  const lines = [];
  for (let box = offsets[image]; box < offsets[image + 1]; box += 1) {
    const sides = boxPixels(image, box);
    const swatch = element("span", { class: "swatch" });
    swatch.style.background = classColour(boxClasses[box]);
    lines.push(element("tr", { onpointerenter: () => light(box, true), onpointerleave: () => light(box, false) },
      element("td", { title: classes[boxClasses[box]].name }, swatch, element("bdi", {}, classes[boxClasses[box]].name)),
      element("td", {}, sides ? `${Math.round(sides[1])} x ${Math.round(sides[0])}` : percent(Math.sqrt(boxShare(box)))),
      element("td", {}, boxWords(box).join(", "))));
  }
  const stage = element("div", { class: "stage" });
  const size = widths[image] ? `${widths[image]} x ${heights[image]} pixels, ` : "";
  viewer.replaceChildren(element("div", { class: "viewer" },
    element("header", {}, element("bdi", {}, ids[image]),
      element("button", { type: "button", id: "previous", onclick: () => stepViewer(-1), disabled: place <= 0 }, "← Previous"),
      element("button", { type: "button", id: "next", onclick: () => stepViewer(1), disabled: place < 0 || place + 1 >= gallery.found.length }, "Next →"),
      element("button", { type: "button", id: "close", onclick: () => viewer.close() }, "Close")),
    stage,
    element("aside", {}, element("p", { class: "quiet" }, `${size}${countOf(lines.length, "box", "boxes")}`), tagsOf(image) ? element("p", {}, tagsOf(image)) : null,
      element("table", {}, element("thead", {}, element("tr", {}, ["class", widths[image] ? "width x height" : "side", ""].map((title) => element("th", {}, title)))), element("tbody", {}, lines)))));
  if (!viewer.open) viewer.showModal();
  fillStage(stage, shapeOf(image), (width, height) => frameOf(image, true, width, height));
}
