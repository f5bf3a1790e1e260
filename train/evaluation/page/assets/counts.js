// What a threshold a class gives: counts by class and by image, the kind of each mistake, and the confusion matrix.

const SIDE = classes.length + 1; // of the matrix: the last row and column are background
const thresholds = new Float64Array(classes.length).fill(data.threshold);
const now = {
  objectKinds: new Int8Array(objects.count), // RIGHT where it is found, else the kind of the mistake
  takenFor: new Int32Array(objects.count), // the detection of another class that a missed object is taken for, or -1
  confused: new Uint8Array(detections.count), // whether a detection is such a one
  byClass: [], byImage: [], kinds: new Uint32Array(kinds.length), matrix: new Map(), all: null, // the matrix: counts by row * SIDE + column
};

function counted(detection) {
  return detections.scores[detection] >= thresholds[detections.rows[detection]];
}

function inCell(row, other) {
  return now.matrix.get(row * SIDE + other) ?? 0;
}

function addToCell(row, other) {
  now.matrix.set(row * SIDE + other, inCell(row, other) + 1);
}

function emptyCounts() {
  return { tp: 0, fp: 0, fn: 0 };
}

function precisionOf({ tp, fp }) {
  return tp + fp ? tp / (tp + fp) : NaN;
}

function recallOf({ tp, fn }) {
  return tp + fn ? tp / (tp + fn) : NaN;
}

function f1Of({ tp, fp, fn }) {
  return tp + fp + fn ? (2 * tp) / (2 * tp + fp + fn) : NaN;
}

// By how much F1 of all would rise if these had no mistakes.
function lossOf(some, all) {
  const mended = { tp: all.tp + some.fn, fp: all.fp - some.fp, fn: all.fn - some.fn };
  return (f1Of(mended) || 0) - (f1Of(all) || 0);
}

// Counts of each image, of one class or, with a row of -1, of all.
function countImages(row) {
  const found = ids.map(emptyCounts);
  for (let detection = 0; detection < detections.count; detection += 1) {
    if ((row >= 0 && detections.rows[detection] !== row) || !counted(detection)) continue;
    found[detections.imageOf[detection]][detections.mistakes[detection] === RIGHT ? "tp" : "fp"] += 1;
  }
  for (let object = 0; object < objects.count; object += 1) {
    if (row >= 0 && objects.rows[object] !== row) continue;
    if (now.objectKinds[object] !== RIGHT) found[objects.imageOf[object]].fn += 1;
  }
  return found;
}

function recount() {
  now.byClass = classes.map(emptyCounts);
  now.kinds.fill(0);
  now.matrix.clear();
  now.takenFor.fill(-1);
  now.confused.fill(0);
  for (let object = 0; object < objects.count; object += 1) {
    const detection = objects.foundBy[object];
    const isFound = detection >= 0 && counted(detection);
    now.objectKinds[object] = isFound ? RIGHT : MISSED;
    now.byClass[objects.rows[object]][isFound ? "tp" : "fn"] += 1;
  }
  for (let pair = 0; pair < meant.length; pair += 2) {
    const [detection, object] = [meant[pair], meant[pair + 1]];
    if (now.objectKinds[object] !== RIGHT && counted(detection)) now.objectKinds[object] = detections.mistakes[detection];
  }
  // From the best detection of an image down, each takes the missed object that it overlaps most of those that none took.
  for (let pair = 0; pair < overlapping.length; pair += 2) {
    const [detection, object] = [overlapping[pair], overlapping[pair + 1]];
    if (now.confused[detection] || now.takenFor[object] >= 0 || now.objectKinds[object] === RIGHT || !counted(detection)) continue;
    now.confused[detection] = 1;
    now.takenFor[object] = detection;
  }
  for (let detection = 0; detection < detections.count; detection += 1) {
    const mistake = detections.mistakes[detection];
    if (mistake === RIGHT || !counted(detection)) continue;
    now.kinds[mistake] += 1;
    now.byClass[detections.rows[detection]].fp += 1;
    if (!now.confused[detection]) addToCell(SIDE - 1, detections.rows[detection]);
  }
  for (let object = 0; object < objects.count; object += 1) {
    const kind = now.objectKinds[object];
    const detection = kind === RIGHT ? objects.foundBy[object] : now.takenFor[object];
    if (kind === MISSED) now.kinds[MISSED] += 1;
    addToCell(objects.rows[object], detection >= 0 ? detections.rows[detection] : SIDE - 1);
  }
  now.all = now.byClass.reduce((sum, { tp, fp, fn }) => ({ tp: sum.tp + tp, fp: sum.fp + fp, fn: sum.fn + fn }), emptyCounts());
}

// Detections by score, the best first, and how many of the first ones are right; of a class, or of all together (-1).
const byScore = Uint32Array.from({ length: detections.count }, (_, detection) => detection)
  .sort((a, b) => detections.scores[b] - detections.scores[a] || a - b);
const objectCounts = new Uint32Array(classes.length);
objects.rows.forEach((row) => {
  objectCounts[row] += 1;
});
const allCurve = curveFrom(byScore, objects.count);
const placesOfClass = classes.map(() => []);
byScore.forEach((detection) => placesOfClass[detections.rows[detection]].push(detection));
const classCurves = placesOfClass.map((places, row) => curveFrom(places, objectCounts[row]));

function curveFrom(places, total) {
  const scores = Float32Array.from(places, (detection) => detections.scores[detection]);
  const right = new Uint32Array(places.length);
  let sum = 0;
  places.forEach((detection, place) => {
    sum += detections.mistakes[detection] === RIGHT ? 1 : 0;
    right[place] = sum;
  });
  return { scores, right, total };
}

function curveOf(row) {
  return row < 0 ? allCurve : classCurves[row];
}

function countsAt({ scores, right, total }, threshold) {
  let [low, high] = [0, scores.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (scores[middle] >= threshold) low = middle + 1;
    else high = middle;
  }
  const tp = low ? right[low - 1] : 0;
  return { tp, fp: low - tp, fn: total - tp };
}

// Recall and the best precision there or beyond, at COCO's 101 recalls; those that are not reached have a precision of 0.
function curvePoints({ right, total }) {
  const best = new Float64Array(right.length + 1);
  for (let place = right.length - 1; place >= 0; place -= 1) best[place] = Math.max(best[place + 1], right[place] / (place + 1));
  let place = 0;
  return Array.from({ length: 101 }, (_, step) => {
    while (place < right.length && right[place] / total < step / 100) place += 1;
    return [step / 100, best[place]];
  });
}

function averagePrecision(row) {
  const curve = curveOf(row);
  return curve.total ? curvePoints(curve).reduce((sum, [, precision]) => sum + precision, 0) / 101 : NaN;
}
