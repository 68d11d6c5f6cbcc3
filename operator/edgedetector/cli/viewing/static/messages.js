// Messages of the server, each: length (4 bytes), length of the head (2 bytes), head as JSON, bytes.

const text = new TextDecoder();

export async function* messages(path, signal) {
  const answer = await fetch(path, { signal, cache: "no-store" });
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  const reader = answer.body.getReader();
  let parts = [];
  let size = 0;
  while (true) {
    const { done, value } = await reader.read();
    if (done) return;
    parts.push(value);
    size += value.length;
    if (size < wanted(parts)) continue;
    let buffer = parts.length === 1 ? parts[0] : joined(parts, size);
    let length;
    while (buffer.length >= 4 && buffer.length >= (length = 4 + number(buffer, 0, 4))) {
      yield unpacked(buffer.subarray(4, length));
      buffer = buffer.subarray(length);
    }
    parts = buffer.length ? [buffer.slice()] : [];
    size = buffer.length;
  }
}

export function joined(parts, size) {
  const buffer = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    buffer.set(part, at);
    at += part.length;
  }
  return buffer;
}

function wanted(parts) {
  return parts[0].length < 4 ? 4 : 4 + number(parts[0], 0, 4);
}

function number(buffer, at, bytes) {
  let value = 0;
  for (let place = 0; place < bytes; place++) value = value * 256 + buffer[at + place];
  return value;
}

function unpacked(message) {
  const head = 2 + number(message, 0, 2);
  return { ...JSON.parse(text.decode(message.subarray(2, head))), bytes: message.subarray(head) };
}

export function parsed(bytes) {
  return JSON.parse(text.decode(bytes));
}
