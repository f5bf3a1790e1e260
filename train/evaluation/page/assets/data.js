// What the page was written with, as typed arrays, and the words for it.

const data = JSON.parse(byId("data").textContent);
const thumbnails = JSON.parse(byId("thumbnails").textContent);
const { ids, widths, heights, classes, kinds } = data;
const STEPS = 65535;
const RIGHT = -1; // of a detection: it is an object; of an object: a detection is it
const MISSED = kinds.indexOf("missed");
const KIND_WHY = {
  classification: "in the right place (IoU 0.5 or more), of the wrong class",
  localization: "of the right class, in the wrong place (IoU 0.1 to 0.5)",
  both: "of the wrong class and in the wrong place",
  duplicate: "of an object that a better detection has found already",
  background: "where there is no object (IoU below 0.1)",
  missed: "objects that nothing found, nor any wrong class or place is near",
};
const KIND_ORDER = ["classification", "localization", "both", "duplicate", "background", "missed"].map((kind) => kinds.indexOf(kind));
const SIZES = [["all sizes", 0, Infinity], ["small, below 32²", 0, 32 ** 2], ["medium", 32 ** 2, 96 ** 2], ["large, from 96²", 96 ** 2, Infinity]];

// Boxes sorted by image; an image's are those from its offset up to the next one's. Edges are ymin, xmin, ymax, xmax.
function boxesOf(columns) {
  const found = {
    offsets: column(columns.offsets, Uint32Array), rows: column(columns.classes, Uint16Array), edges: column(columns.edges, Uint16Array),
  };
  found.count = found.rows.length;
  found.imageOf = new Uint32Array(found.count);
  for (let image = 0; image < ids.length; image += 1) found.imageOf.fill(image, found.offsets[image], found.offsets[image + 1]);
  return found;
}

const detections = boxesOf(data.detections);
detections.scores = column(data.detections.scores, Float32Array);
detections.mistakes = column(data.detections.mistakes, Int8Array); // the kind, or RIGHT
const objects = boxesOf(data.objects);
objects.foundBy = column(data.objects.foundBy, Int32Array); // a detection, or -1
const regions = boxesOf(data.regions); // crowds and groups: what lies in them counts neither way
const objectOf = new Int32Array(detections.count).fill(-1);
objects.foundBy.forEach((detection, object) => {
  if (detection >= 0) objectOf[detection] = object;
});
const meant = column(data.meant, Uint32Array); // pairs: a detection of a wrong class or place, and the object that it would be
const overlapping = column(data.overlapping, Uint32Array); // pairs: a wrong detection, and an object of another class under it

function edgesOf(boxes, box) {
  return [0, 1, 2, 3].map((edge) => boxes.edges[4 * box + edge] / STEPS);
}

// In pixels of the image.
function areaOf(boxes, box) {
  const [ymin, xmin, ymax, xmax] = edgesOf(boxes, box);
  const image = boxes.imageOf[box];
  return (ymax - ymin) * heights[image] * (xmax - xmin) * widths[image];
}

function nameOf(row) {
  return row === classes.length ? "background" : classes[row].name;
}

function figure(value, digits = 3) {
  return value === null || Number.isNaN(value) ? "–" : value.toFixed(digits);
}
