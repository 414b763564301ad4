// A person's hand: pointer and keys on the scene.

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
/** Speed of the target while an arrow key is held, px per ms. */
const KEY_PX_PER_MS = 0.17;
/** Way of the block for each press of shift and an arrow key, px. */
const SHOVE_PX = 8;
/** Motion in a tick below which the agent rests, px. */
const REST_PX = 0.1;

export class Pushing {
  target = null;
  #held = new Set();
  #isDown = false;
  /** Where the pointer has the block. */
  #grip = null;
  #isTickAllowed = false;
  /** Where the agent was when the last tick began; nothing if the target is newer. */
  #from = null;

  constructor(page) {
    this.page = page;
    const { canvas } = page.view;
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#moved(event));
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => this.#up());
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("keyup", (event) => this.#held.delete(event.key));
    canvas.addEventListener("blur", () => this.#held.clear());
  }

  reset() {
    this.target = null;
    this.#from = null;
    this.#held.clear();
    this.#isDown = false;
    this.#grip = null;
  }

  /** Whether the person pushes, or the agent still moves. */
  wantsTime() {
    if (this.#isTickAllowed) return true;
    if (!this.target) return false;
    if (this.#isDown || this.#held.size || !this.#from) return true;
    const [x, y] = this.page.game.scene();
    return Math.hypot(x - this.#from[0], y - this.#from[1]) > REST_PX;
  }

  /** A tick begins. */
  begins() {
    const [x, y] = this.page.game.scene();
    this.#from = [x, y];
    this.#isTickAllowed = false;
  }

  /** Allows one tick, whoever rests. */
  allowTick() {
    const [x, y] = this.page.game.scene();
    this.target ??= [x, y];
    this.#isTickAllowed = true;
  }

  /** Moves the target while arrow keys are held. */
  move(ms) {
    if (this.page.mode !== "play" || !this.#held.size) return;
    const [x, y] = this.page.game.scene();
    const target = this.target ?? [x, y];
    for (const key of this.#held) {
      const [dx, dy] = ARROWS[key];
      target[0] += dx * ms * KEY_PX_PER_MS;
      target[1] += dy * ms * KEY_PX_PER_MS;
    }
    this.#aim(target);
  }

  #aim(place) {
    this.target = place.map((value) => this.#inside(value));
    this.#from = null;
  }

  #inside(value) { return Math.min(this.page.view.size, Math.max(0, value)); }

  #down(event) {
    const { page } = this;
    const place = page.view.place(event);
    page.view.canvas.setPointerCapture(event.pointerId);
    if (page.mode === "play") {
      this.#isDown = true;
      this.#aim(place);
      page.run(true);
    } else if (page.view.isOnBlock(place, page.game.scene())) {
      this.#grip = place;
    }
  }

  #moved(event) {
    const place = this.page.view.place(event);
    if (this.#isDown) {
      this.#aim(place);
    } else if (this.#grip) {
      this.#shove(place[0] - this.#grip[0], place[1] - this.#grip[1]);
      this.#grip = place;
    }
  }

  #up() {
    this.#isDown = false;
    this.#grip = null;
  }

  #key(event) {
    const direction = ARROWS[event.key];
    if (!direction) return;
    event.preventDefault();
    if (this.page.mode === "play") {
      this.#held.add(event.key);
      if (!this.page.isRunning) this.page.run(true);
    } else if (event.shiftKey) {
      this.#shove(direction[0] * SHOVE_PX, direction[1] * SHOVE_PX);
    }
  }

  #shove(x, y) {
    this.page.try(() => {
      this.page.game.shove(x, y);
      this.page.changed();
    });
  }
}
