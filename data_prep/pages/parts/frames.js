// Images with boxes on them: how large, and where the boxes and their labels are. Edges are ymin, xmin, ymax, xmax in 0..1.

const ROW_HEIGHT = 190; // of a gallery's images, in pixels
const LABEL_HEIGHT = 16; // in pixels, as the style has it
const LABEL_LETTER = 7; // a letter's width, about
const LONGEST_LABEL = 220; // the same

// Of boxes, most wanted first, those whose labels do not lie over each other's: a map from the box to where its label is
// at it, shifted where it would lie outside a frame of so many pixels.
function labelsThatFit(ordered, edges, text, width, height) {
  const taken = [];
  const labelled = new Map();
  for (const box of ordered) {
    const [ymin, xmin] = edges(box);
    const length = Math.min(LONGEST_LABEL, 10 + LABEL_LETTER * text(box).length);
    const left = Math.max(0, Math.min(xmin * width, width - length));
    const place = { within: ymin < 0.08, shift: left / width - xmin };
    const top = ymin * height - (place.within ? 0 : LABEL_HEIGHT);
    const free = taken.every(([x, y, across]) => Math.abs(y - top) >= LABEL_HEIGHT || left >= x + across || x >= left + length);
    if (!free) continue;
    taken.push([left, top, length]);
    labelled.set(box, place);
  }
  return labelled;
}

// A box at its place in a frame; with a label where `place` is one of `labelsThatFit`.
function placedBox([ymin, xmin, ymax, xmax], colour, text, place, attributes) {
  const made = element("span", attributes);
  Object.assign(made.style, {
    left: `${xmin * 100}%`, top: `${ymin * 100}%`, borderColor: colour, width: `${(xmax - xmin) * 100}%`, height: `${(ymax - ymin) * 100}%`,
  });
  if (place) {
    const label = element("i", {}, text);
    label.classList.toggle("within", place.within);
    if (place.shift < 0) label.style.left = `${(place.shift / (xmax - xmin)) * 100}%`;
    label.style.background = colour;
    made.append(label);
  }
  return made;
}

// A gallery's stage with what `frame(width, height)` makes in it; `shape` is the image's width to its height. Very long and
// very tall ones are fitted into a stage that is neither. `setWidth` gives the card around it its place in a row.
function stageFor(shape, frame) {
  const stageShape = Math.min(2.4, Math.max(0.7, shape));
  const [across, down] = [Math.min(1, shape / stageShape), Math.min(1, stageShape / shape)];
  const made = frame(stageShape * across * ROW_HEIGHT, down * ROW_HEIGHT);
  Object.assign(made.style, { width: `${across * 100}%`, height: `${down * 100}%` });
  const stage = element("span", { class: "stage" }, made);
  stage.style.aspectRatio = stageShape;
  const setWidth = (card) => {
    card.style.flex = `${stageShape} 1 ${Math.round(stageShape * ROW_HEIGHT)}px`;
    card.style.maxWidth = `${Math.round(stageShape * ROW_HEIGHT * 1.6)}px`;
  };
  return { stage, setWidth };
}

// Puts what `frame(width, height)` makes into a stage that is in the page, as large as it can be.
function fillStage(stage, shape, frame) {
  const style = getComputedStyle(stage);
  const across = stage.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
  const down = stage.clientHeight - parseFloat(style.paddingTop) - parseFloat(style.paddingBottom);
  const [width, height] = [Math.min(across, down * shape), Math.min(down, across / shape)];
  const made = frame(width, height);
  Object.assign(made.style, { width: `${width}px`, height: `${height}px` });
  stage.replaceChildren(made);
}
