// One card a camera.

import { Boxes } from "./boxes.js";
import { Player } from "./player.js";
import { ago, counted, figure, make, say } from "./words.js";

const STALE = 6000; // milliseconds without a frame of a camera that is live, after which it is said
const FRESH = 3000; // milliseconds since video last came, within which it comes
const TRIES = 2; // of the video, until pictures are shown
const PAUSE = 1000; // milliseconds until video that could not be shown is asked for anew
const VIDEO_AGAIN = 60000; // milliseconds

export class Card {
  constructor(name, { enlarge, changed }) {
    this.name = name;
    this.changed = changed;
    this.kind = "video";
    this.visible = false;
    this.resting = false;
    this.failures = 0;
    this.video = make("video", { playsinline: "", disablepictureinpicture: "", "aria-hidden": "true", tabindex: "-1" });
    this.video.muted = true;
    this.picture = make("img", { alt: "", hidden: "" });
    this.canvas = make("canvas", { "aria-hidden": "true" });
    this.button = make("button", { type: "button", "aria-pressed": "false" });
    this.notice = make("div", { class: "notice" }, make("strong"), make("span"));
    this.title = make("h3", {}, name);
    this.speed = make("p", { class: "speed" });
    this.state = make("p", { class: "state" });
    this.seen = make("p", { class: "seen" });
    this.why = make("p", { class: "why", hidden: "" });
    const screen = make("div", { class: "screen" }, this.video, this.picture, this.canvas, this.notice, this.button);
    const caption = make("div", { class: "caption" }, this.title, this.speed, this.state, this.seen, this.why);
    this.element = make("article", { "aria-label": `Camera ${name}`, "data-camera": name, "data-state": "Connecting" }, screen, caption);
    this.button.addEventListener("click", () => enlarge(this));
    this.boxes = new Boxes(this.canvas);
    this.player = new Player(this.video, {
      shown: (time) => this.#shown(time),
      unplayable: (type) => this.#pictures(`this browser does not play ${type.replace(/.*codecs="?([^"]*).*/, "$1")}`),
      failed: () => this.#again("this browser cannot decode what comes"),
    });
    this.#label(false);
    this.#notice();
  }

  update(camera) {
    if (camera.state === "Live" && this.camera?.state !== "Live") this.#film();
    this.camera = camera;
    this.element.dataset.state = camera.state;
    say(this.state, camera.state + (camera.since && camera.state !== "Live" ? ` for ${ago(camera.since)}` : ""));
    const wanted = camera.wanted === null ? "" : ` of ${figure(camera.wanted)}`;
    say(this.speed, camera.rate === null ? "" : `${camera.rate.toFixed(1)}${wanted} /s`);
    this.speed.title = "Results per second, and how many are wanted";
    this.age = camera.age;
    this.#tell();
    this.#notice();
  }

  begin(type, bytes) {
    this.boxes.clear();
    this.begun = Date.now();
    this.player.begin(type, bytes);
  }

  fragment(at, bytes) {
    this.arrived = Date.now();
    this.player.add(at, bytes);
  }

  result(result) {
    if (result.at === null) return;
    this.boxes.add(result);
    this.player.came(result.at);
  }

  shot(bytes) {
    const old = this.picture.src;
    this.picture.src = URL.createObjectURL(new Blob([bytes], { type: "image/jpeg" }));
    if (old) URL.revokeObjectURL(old);
    this.picture.hidden = false;
    this.arrived = this.showing = Date.now();
    this.#notice();
  }

  // `kind` is what has ended: pictures may still end after video was asked for.
  ended(why, kind) {
    if (kind !== this.kind) return;
    if (this.kind === "video" && this.camera?.state === "Live" && ++this.failures >= TRIES) this.#pictures(why);
    this.trouble = why;
    this.rest();
  }

  // Nothing comes for now.
  rest() {
    this.player.stop();
    this.boxes.clear();
    this.showing = this.begun = 0;
    this.#notice();
  }

  enlarge(large) {
    this.element.classList.toggle("large", large);
    this.button.setAttribute("aria-pressed", String(large));
    this.#label(large);
    if (large) this.element.scrollIntoView({ block: "nearest" });
  }

  // Called once a second, for what changes although nothing comes.
  tick() {
    const now = Date.now();
    if (this.showing && now - this.showing > STALE) this.showing = 0;
    const comes = this.kind === "video" && now - this.arrived < FRESH;
    if (comes && this.begun && !this.showing && now - this.begun > STALE) this.#again("what comes cannot be shown");
    if (this.camera) this.update(this.camera);
  }

  remove() {
    this.rest();
    this.element.remove();
  }

  #label(large) {
    this.button.setAttribute("aria-label", large ? `Make ${this.name} small again` : `Enlarge ${this.name}`);
  }

  #shown(time) {
    this.showing = Date.now();
    this.failures = 0;
    this.trouble = "";
    const labels = this.boxes.show(time, this.player.interval, this.video.videoWidth, this.video.videoHeight);
    this.labels = counted(labels);
    this.#tell();
    if (!this.notice.hidden) this.#notice();
  }

  #pictures(why) {
    this.kind = "pictures";
    this.because = why;
    this.player.stop();
    this.changed();
    clearTimeout(this.later);
    this.later = setTimeout(() => this.#film(), VIDEO_AGAIN);
  }

  // Tries the video, whatever it was like before: so once a camera is back.
  #film() {
    clearTimeout(this.later);
    this.failures = 0;
    if (this.kind === "video") return;
    this.kind = "video";
    this.picture.hidden = true;
    this.changed();
  }

  // Asks for the video from its head on: the browser has given up, and would show nothing of it ever again.
  #again(why) {
    if (++this.failures >= TRIES) this.#pictures(why);
    this.trouble = why;
    this.rest();
    this.resting = true;
    this.changed();
    setTimeout(() => {
      this.resting = false;
      this.changed();
    }, PAUSE);
  }

  #tell() {
    const age = this.age === null || this.age === undefined ? "" : `${Math.round(this.age * 1000)} ms`;
    const live = this.camera?.state === "Live";
    say(this.seen, live ? [this.labels, age].filter(Boolean).join(" · ") : "");
    const why = live ? [this.camera.why, this.kind === "pictures" ? `A picture a second: ${this.because}` : ""] : [];
    say(this.why, why.filter(Boolean).join(". "));
    this.why.hidden = !this.why.textContent;
  }

  #notice() {
    const state = this.camera?.state ?? "Connecting";
    const showing = state === "Live" && this.showing;
    this.notice.hidden = Boolean(showing);
    if (showing) return;
    this.boxes.clear();
    const [title, text] = this.notice.children;
    say(title, { Live: this.trouble ? "No video" : "Waiting for video" }[state] ?? state);
    say(text, state === "Live" ? (this.trouble ?? "") : (this.camera?.why ?? ""));
  }
}
