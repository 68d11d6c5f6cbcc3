// Boxes over a picture. Each is drawn as it was found: none is moved between two results, none is guessed.

// Light enough for dark text, and far apart for eyes that confuse red and green (after Okabe and Ito).
const COLOURS = ["#56b4e9", "#f0e442", "#e69f00", "#00c896", "#cc79a7", "#ff8c50"];
const INK = "#101418";
const KEPT = 12; // seconds of results
const LONGEST = 2; // seconds that boxes stay without newer ones, or two and a half intervals if results are rare

export class Boxes {
  constructor(canvas) {
    this.canvas = canvas;
    this.results = new Map(); // model -> results by time
    this.drawn = [];
  }

  clear() {
    this.results.clear();
    this.#paint([], 0, 0);
  }

  add(result) {
    // By the newest that came, not by the latest: one with a wrong time must not crowd out all that follow.
    const known = (this.results.get(result.model) ?? []).filter((one) => Math.abs(one.at - result.at) <= KEPT);
    known.push(result);
    known.sort((a, b) => a.at - b.at);
    this.results.set(result.model, known);
  }

  // Draws what was found in the frame of this moment; returns the labels. Frames are `interval` seconds apart: a result
  // belongs to the nearest.
  show(time, interval, width, height) {
    const found = [];
    for (const known of this.results.values()) {
      const place = known.findLastIndex((one) => one.at <= time + interval / 2);
      if (place < 0) continue;
      const one = known[place];
      const apart = place ? one.at - known[place - 1].at : 0;
      if (time - one.at > Math.max(LONGEST, 2.5 * apart)) continue;
      found.push(...one.detections.map((box) => ({ ...box, across: one.width, down: one.height })));
    }
    this.#paint(found, width, height);
    return found.map((one) => one.label);
  }

  #paint(found, width, height) {
    const { canvas } = this;
    const ratio = window.devicePixelRatio || 1;
    const across = Math.round(canvas.clientWidth * ratio);
    const down = Math.round(canvas.clientHeight * ratio);
    if (canvas.width !== across) canvas.width = across;
    if (canvas.height !== down) canvas.height = down;
    canvas.dataset.boxes = found.length;
    const context = canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, across, down);
    if (!width || !height) return;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const scale = Math.min(canvas.clientWidth / width, canvas.clientHeight / height);
    const area = {
      left: (canvas.clientWidth - width * scale) / 2, top: (canvas.clientHeight - height * scale) / 2,
      width: width * scale, height: height * scale,
    };
    context.font = "600 12px system-ui, sans-serif";
    context.textBaseline = "middle";
    for (const one of found.toReversed()) draw(context, one, area);
  }
}

function draw(context, { label, score, box, across, down }, area) {
  const [x1, y1, x2, y2] = box;
  const left = area.left + (x1 / across) * area.width;
  const top = area.top + (y1 / down) * area.height;
  const width = ((x2 - x1) / across) * area.width;
  const height = ((y2 - y1) / down) * area.height;
  const colour = colourOf(label);
  // A dark edge around the line keeps it visible on bright pictures.
  context.strokeStyle = "rgb(0 0 0 / .55)";
  context.lineWidth = 4;
  context.strokeRect(left, top, width, height);
  context.strokeStyle = colour;
  context.lineWidth = 2;
  context.strokeRect(left, top, width, height);
  const text = `${label} ${Math.round(score * 100)}`;
  const wide = context.measureText(text).width + 10;
  const x = Math.min(Math.max(left - 1, area.left), area.left + area.width - wide);
  const y = top - 17 >= area.top ? top - 17 : top;
  context.fillStyle = colour;
  context.fillRect(x, y, wide, 17);
  context.fillStyle = INK;
  context.fillText(text, x + 5, y + 9);
}

export function colourOf(label) {
  let hash = 0;
  for (const letter of label) hash = (hash * 31 + letter.codePointAt(0)) >>> 0;
  return COLOURS[hash % COLOURS.length];
}
