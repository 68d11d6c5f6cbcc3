// Elements and words. Text from the cluster becomes text nodes and nothing else.

export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// Writes only what differs, so that a selection and a reader's place stay.
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function list(element, items, made) {
  const key = JSON.stringify(items);
  if (element.dataset.key === key) return;
  element.dataset.key = key;
  element.replaceChildren(...items.map(made));
}

export function ago(time, now = Date.now()) {
  const seconds = Math.round((now - Date.parse(time)) / 1000);
  if (!Number.isFinite(seconds)) return "";
  if (seconds < 1) return "now";
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60]]) {
    if (seconds >= 2 * size) return `${Math.floor(seconds / size)} ${unit}`;
  }
  return `${seconds} s`;
}

// "CamerasFailing" -> "Cameras failing": reasons are names, and people read sentences.
export function sentence(reason) {
  const words = String(reason).replace(/([a-z0-9])([A-Z])/g, "$1 $2").split(" ");
  return words.map((word, place) => (place && !/^[A-Z]{2}/.test(word) ? word.toLowerCase() : word)).join(" ");
}

export function figure(value, digits = 1) {
  return value === null || value === undefined ? "–" : Number(value).toLocaleString("en", { maximumFractionDigits: digits });
}

export function counted(labels) {
  const counts = new Map();
  for (const label of labels) counts.set(label, (counts.get(label) ?? 0) + 1);
  return [...counts].sort(([a], [b]) => (a < b ? -1 : 1)).map(([label, count]) => `${count} ${label}`).join(", ");
}
