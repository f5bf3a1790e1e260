// What the page was written with, as typed arrays, and the words for it.

const data = JSON.parse(document.getElementById("data").textContent);
const thumbnails = JSON.parse(document.getElementById("thumbnails").textContent);
const statistics = data.statistics;
const classes = statistics.classes;

// Of the listed images; an image's boxes are those from its offset up to the next one's.
const ids = data.ids;
const offsets = column(data.offsets, Uint32Array);
const widths = column(data.widths, Uint32Array);
const heights = column(data.heights, Uint32Array);
const imageFlags = column(data.imageFlags, Uint16Array);
const scores = column(data.scores, Uint16Array);
// Of their boxes: ymin, xmin, ymax, xmax in steps of 1/65535 of the image.
const boxes = column(data.boxes, Uint16Array);
const boxClasses = column(data.boxClasses, data.wideClasses ? Uint32Array : Uint16Array);
const boxFlags = column(data.boxFlags, Uint16Array);
const STEPS = 65535;

const sizesKnown = widths.some((width) => width > 0);
const limits = data.limits;

const BOX_FLAGS = [
  { bit: 1 << 11, word: "extreme ratio", suspicious: true, why: `length to width ${limits.extreme_ratio} or more` },
  { bit: 1 << 7, word: "tiny", suspicious: true, why: `a shorter side below ${limits.tiny_pixels} pixels of the image` },
  { bit: 1 << 8, word: "huge", suspicious: true, why: `${Math.round(limits.huge_share * 100)}% of the image or more` },
  { bit: 1 << 9, word: "duplicate", suspicious: true, why: `another box of the class in the same place (IoU ${limits.duplicate_iou} or more)` },
  { bit: 1 << 10, word: "two classes", suspicious: true, why: `a box of another class in the same place (IoU ${limits.duplicate_iou} or more)` },
  { bit: 1 << 12, word: "unusable", suspicious: true, why: "reversed, without area, not finite, or outside the image" },
  { bit: 1 << 13, word: "no anchor", suspicious: true, why: "no anchor matches it (of the boxes that were compared)" },
  { bit: 1 << 0, word: "occluded" },
  { bit: 1 << 1, word: "truncated" },
  { bit: 1 << 2, word: "group of" },
  { bit: 1 << 3, word: "depiction" },
  { bit: 1 << 4, word: "inside" },
  { bit: 1 << 5, word: "crowd" },
  { bit: 1 << 6, word: "difficult" },
];
const IMAGE_FLAGS = [
  { bit: 1 << 0, word: "no image", why: "missing, or does not decode" },
  { bit: 1 << 1, word: "no boxes", why: "nothing is annotated" },
  { bit: 1 << 2, word: "many boxes", why: `more than ${limits.many_boxes}` },
  { bit: 1 << 3, word: "small image", why: `a side below ${limits.small_pixels} pixels` },
  { bit: 1 << 4, word: "repeated id", why: "another record has this id" },
  { bit: 1 << 5, word: "bad record", why: "verify_tfrecords reports it: it would stop training" },
];
const NO_IMAGE = 1;

// Height and width of a box in pixels of its image, or null where these are not known.
function boxPixels(image, box) {
  if (!widths[image]) return null;
  return [
    ((boxes[4 * box + 2] - boxes[4 * box]) / STEPS) * heights[image],
    ((boxes[4 * box + 3] - boxes[4 * box + 1]) / STEPS) * widths[image],
  ];
}

// The share of the image that a box covers.
function boxShare(box) {
  return ((boxes[4 * box + 2] - boxes[4 * box]) / STEPS) * ((boxes[4 * box + 3] - boxes[4 * box + 1]) / STEPS);
}

// The root of a box's area: in pixels, NaN where its image's size is not known; in hundredths of the image's side
// where no image's size is.
function boxSide(image, box) {
  if (!sizesKnown) return 100 * Math.sqrt(boxShare(box));
  return widths[image] ? Math.sqrt(boxShare(box) * heights[image] * widths[image]) : NaN;
}
const SIDE_UNIT = sizesKnown ? "pixels" : "% of the side";
