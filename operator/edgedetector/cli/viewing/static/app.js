// The page: one connection to the server, from which everything comes, and cards that show it.

import { Card } from "./cards.js";
import { messages, parsed } from "./messages.js";
import { ago, figure, list, make, say, sentence } from "./words.js";

const byId = (name) => document.getElementById(name);
const cards = new Map();
let session = "";
let document_ = null;
let large = null;
let timer = 0;

const AGAIN = 1500; // milliseconds until the connection is made again
const SETTLE = 150; // milliseconds in which cards that come into sight are told together

async function run() {
  while (true) {
    try {
      for await (const message of messages("live")) take(message);
    } catch {
      // Told below; the reason is the server's, and its terminal says more than the browser may know.
    }
    session = "";
    link("broken", "Reconnecting: does the command still run?");
    for (const card of cards.values()) card.rest();
    await new Promise((done) => setTimeout(done, AGAIN));
  }
}

const takers = {
  hello(message) {
    session = message.session;
    link("open", "Connected");
    tellWatched();
  },
  alive() {},
  page(message) {
    link("open", "Connected");
    show(parsed(message.bytes));
  },
  blind(message) {
    link("blind", "The cluster does not answer");
    byId("link").title = message.why;
  },
  begin: (message) => cards.get(message.camera)?.begin(message.type, message.bytes),
  video: (message) => cards.get(message.camera)?.fragment(message.at, message.bytes),
  result: (message) => cards.get(message.camera)?.result(message),
  picture: (message) => cards.get(message.camera)?.shot(message.bytes),
  end: (message) => cards.get(message.camera)?.ended(message.why, message.of),
};

function take(message) {
  takers[message.kind]?.(message);
}

function link(state, text) {
  byId("link").dataset.link = state;
  byId("link").title = "";
  say(byId("link"), text);
}

function show(found) {
  const first = document_ === null;
  document.title = `${found.state === "Ready" ? "" : `${found.state}: `}${found.name} · EdgeDetector`;
  say(byId("name"), found.name);
  say(byId("namespace"), found.namespace);
  byId("verdict").dataset.state = found.state;
  const down = found.operator.known && !found.operator.running;
  say(byId("reason"), down ? "The operator does not run" : sentence(found.reason));
  say(byId("message"), down ? `What is told is what it said last. ${found.message}` : found.message);
  list(byId("problems"), found.problems, ({ condition, message }) => make("li", {}, make("b", {}, condition), ` ${message}`));
  byId("problems").hidden = !found.problems.length;
  showFigures(found);
  showCameras(found.cameras, first);
  showTuning(found);
  const [summary, gaps] = byId("gaps").children;
  byId("gaps").hidden = !found.notSeen.length;
  say(summary, `Not seen: ${found.notSeen.length}`);
  list(gaps, found.notSeen, ({ what, why }) => make("li", {}, `${what}: ${why}`));
  document_ = found;
  tick();
}

function showFigures({ cameras, capacity, serving }) {
  const live = cameras.filter((camera) => camera.state === "Live").length;
  const rates = cameras.map((camera) => camera.rate).filter((rate) => rate !== null);
  const wanted = cameras.reduce((sum, camera) => sum + (camera.wanted ?? 0), 0);
  value("live", live, `of ${cameras.length}`);
  value("rate", rates.length ? rates.reduce((a, b) => a + b, 0).toFixed(1) : "–", `of ${figure(wanted)} wanted`);
  value("capacity", figure(capacity?.framesPerSecond, 0), capacity ? "frames/s" : "not known yet");
  byId("capacity").title = capacity?.message ?? "";
  value("replicas", serving.replicas.ready, `of ${serving.replicas.desired}`);
}

function value(name, main, rest) {
  list(byId(name), [[String(main), rest]], ([a, b]) => make("span", {}, `${a} `, make("small", {}, b)));
}

function showCameras(found, first) {
  const wanted = new Set(found.map((camera) => camera.name));
  for (const [name, card] of cards) {
    if (wanted.has(name)) continue;
    if (large === card) large = null;
    sight.unobserve(card.element);
    card.remove();
    cards.delete(name);
  }
  for (const camera of found) {
    let card = cards.get(camera.name);
    if (!card) {
      card = new Card(camera.name, { enlarge, changed: tellWatched });
      cards.set(camera.name, card);
      byId("cameras").append(card.element);
      sight.observe(card.element);
    }
    const before = card.camera?.state;
    card.update(camera);
    if (!first && before && before !== camera.state) say(byId("news"), `Camera ${camera.name}: ${camera.state}. ${camera.why}`);
  }
}

function showTuning({ tuning, serving }) {
  say(byId("mode"), [tuning.mode, tuning.frozen ? "frozen" : tuning.phase].filter(Boolean).join(", "));
  say(byId("phase"), tuning.message || tuning.recommendation);
  byId("phase").hidden = !byId("phase").textContent;
  list(byId("serving"), serving.models, (model) => {
    const batch = model.preferredBatchSizes.length ? `, batches of ${model.preferredBatchSizes.join("/")}` : "";
    const delay = model.maxQueueDelay ? `, delay ${model.maxQueueDelay}` : "";
    return make("li", {}, make("b", {}, model.name), ` ${model.instances} instance${model.instances === 1 ? "" : "s"}${batch}${delay}`);
  });
  list(byId("story"), tuning.log, ({ time, decision, message }) =>
    make("li", {}, make("b", {}, sentence(decision)), " ", make("time", { datetime: time }), make("p", { title: message }, message)));
  if (!tuning.log.length) list(byId("story"), ["Nothing was decided yet."], (text) => make("li", {}, text));
}

function tick() {
  if (document_) {
    const since = ago(document_.since);
    say(byId("since"), since && `for ${since}`);
  }
  for (const time of document.querySelectorAll("#story time")) say(time, `${ago(time.dateTime)} ago`);
  for (const card of cards.values()) card.tick();
}

// What is watched: cards in sight, while the page is.

const sight = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    const card = cards.get(target.dataset.camera);
    if (card) card.visible = isIntersecting;
  }
  tellWatched();
}, { rootMargin: "100px" });

function tellWatched() {
  clearTimeout(timer);
  timer = setTimeout(async () => {
    if (!session) return;
    const watched = document.hidden ? [] : [...cards.values()].filter((card) => card.visible && !card.resting);
    for (const card of cards.values()) if (!watched.includes(card)) card.rest();
    const body = JSON.stringify({ session, cameras: Object.fromEntries(watched.map((card) => [card.name, card.kind])) });
    // A connection that has just ended is told by its own end.
    await fetch("watch", { method: "POST", body }).catch(() => {});
  }, SETTLE);
}

document.addEventListener("visibilitychange", tellWatched);

// Keys: Tab and arrows go from camera to camera, Enter enlarges, Escape makes small again.

function enlarge(card) {
  const before = large;
  large = before === card ? null : card;
  before?.enlarge(false);
  large?.enlarge(true);
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && large) {
    const { button } = large;
    enlarge(large);
    button.focus();
    return;
  }
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  const all = [...cards.values()];
  const place = all.findIndex((card) => card.button === document.activeElement);
  if (!step || place < 0) return;
  const next = all[(place + step + all.length) % all.length];
  event.preventDefault();
  if (large) enlarge(next);
  next.button.focus();
});

setInterval(tick, 1000);
run();
