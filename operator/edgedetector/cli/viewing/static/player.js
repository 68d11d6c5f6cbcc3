// Plays fragments of MP4 a moment behind the newest one, so that what is found in a frame is there when it is shown.

import { joined } from "./messages.js";

const KEPT = 20; // seconds of video behind the picture
const SHORTEST_LAG = 0.4; // seconds behind the newest frame: a port-forward hands them on in bursts
const LONGEST_LAG = 3;

export class Player {
  // `shown` is called with the time of each frame that is shown, in seconds of the stream; `failed` if there will be none.
  constructor(video, { shown, unplayable, failed }) {
    this.video = video;
    this.shown = shown;
    this.unplayable = unplayable;
    this.lag = 0.7;
    this.newest = 0;
    this.interval = 0.04; // seconds from frame to frame, smoothed
    this.trails = [];
    this.session = 0;
    this.#watchFrames();
    video.addEventListener("error", () => this.url && failed());
  }

  begin(type, bytes) {
    this.stop();
    const session = ++this.session;
    if (!("MediaSource" in window) || !MediaSource.isTypeSupported(type)) {
      this.unplayable(type);
      return;
    }
    const source = new MediaSource();
    this.waiting = [bytes.slice()];
    this.url = URL.createObjectURL(source);
    this.video.src = this.url;
    source.addEventListener("sourceopen", () => {
      if (session !== this.session) return;
      this.buffer = source.addSourceBuffer(type);
      this.buffer.addEventListener("updateend", () => session === this.session && this.#next());
      this.#next();
    }, { once: true });
  }

  add(at, bytes) {
    if (!this.waiting) return;
    if (at > this.newest) this.interval = Math.min(Math.max(at - this.newest, this.interval * 0.9), this.interval * 1.1 + 0.001);
    this.newest = at;
    this.waiting.push(bytes.slice());
    this.#next();
  }

  // A result has come for the moment `at`: the picture has to stay behind what comes that late.
  came(at) {
    this.trails.push(this.newest - at);
    if (this.trails.length > 30) this.trails.shift();
    this.lag = Math.min(Math.max(Math.max(...this.trails) + 0.2, SHORTEST_LAG), LONGEST_LAG);
  }

  stop() {
    this.session++;
    this.waiting = this.buffer = null;
    this.newest = 0;
    this.trails = [];
    if (this.url) {
      URL.revokeObjectURL(this.url);
      this.url = null;
      this.video.removeAttribute("src");
      this.video.load();
    }
  }

  #next() {
    const { buffer, video } = this;
    if (!buffer || buffer.updating || video.error) return;
    const { buffered } = buffer;
    if (buffered.length) {
      this.#keepUp(buffered);
      if (video.currentTime - buffered.start(0) > 2 * KEPT) {
        buffer.remove(0, video.currentTime - KEPT);
        return;
      }
    }
    if (!this.waiting.length) return;
    const parts = this.waiting;
    this.waiting = [];
    buffer.appendBuffer(parts.length === 1 ? parts[0] : joined(parts, parts.reduce((sum, part) => sum + part.length, 0)));
  }

  #keepUp(buffered) {
    const { video } = this;
    const start = buffered.start(buffered.length - 1);
    const edge = buffered.end(buffered.length - 1);
    const behind = edge - video.currentTime;
    if (behind > this.lag + 1.5 || behind < 0 || video.currentTime < start) {
      video.currentTime = Math.max(start, edge - this.lag);
    }
    const speed = behind > this.lag + 0.3 ? 1.1 : behind < this.lag - 0.2 ? 0.9 : 1;
    if (video.playbackRate !== speed) video.playbackRate = speed;
    if (video.paused) video.play().catch(() => {});
  }

  #watchFrames() {
    const { video } = this;
    if (video.requestVideoFrameCallback) {
      const frame = (_, { mediaTime }) => {
        // Not the video's current time: that goes on while a busy machine still shows an older frame.
        this.shown(mediaTime);
        video.requestVideoFrameCallback(frame);
      };
      video.requestVideoFrameCallback(frame);
      return;
    }
    video.addEventListener("timeupdate", () => this.shown(video.currentTime));
  }
}
