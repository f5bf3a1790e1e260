// Numbers as columns, as words, and as colours.

function column(text, Kind) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  return new Kind(bytes.buffer);
}

function countOf(number, one, many = `${one}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

function percent(share) {
  if (!Number.isFinite(share)) return "–";
  const value = share * 100;
  if (value > 0 && value < 0.1) return "<0.1%";
  if (value < 100 && value > 99.9) return ">99.9%";
  return `${value < 10 ? Number(value.toFixed(1)) : Math.round(value)}%`;
}

// Neighbouring classes get colours far apart; all are light enough for dark letters.
function classColour(row) {
  const hue = (row * 137.508 + 25) % 360;
  const lift = hue > 215 && hue < 300 ? 10 : 0; // blue and violet look darker than the others
  return `hsl(${hue} 88% ${62 + (row % 3) * 7 + lift}%)`;
}

function compact(number) {
  if (number < 10000) return String(number);
  return number < 1e6 ? `${Math.round(number / 1000)}k` : `${(number / 1e6).toFixed(1)}M`;
}
