// The page: what the controls do, and the time of the scene.

import init, { Game, Policy } from "./pusht_web.js";
import { $, notice } from "./dom.js";
import { Compare } from "./compare.js";
import { Recorder } from "./recorder.js";
import { DevicePanel } from "./device_panel.js";
import { Pushing } from "./pushing.js";
import { View } from "./view.js";

const MODELS = { small: "pusht-small.ptm", best: "pusht.ptm" };
const PHYSICS_PER_MS = 0.1;
/** Longest time between two pictures that the scene makes up for. */
const MAX_FRAME_MS = 100;

const timing = { firstPlanMs: null, planMs: 0, frames: 0, frameMs: 0 };

class Page {
  mode = "watch";
  isRunning = false;
  speed = 1;
  /** Physics steps that are due. */
  due = 0;
  last = performance.now();
  denoising = null;
  plannedAt = 0;
  timing = timing;

  constructor(game, view, digests) {
    Object.assign(this, { game, view, digests });
    [, , this.benchmarkSteps] = Game.geometry();
    this.compare = new Compare(this, digests);
    this.recorder = new Recorder(this);
    this.devices = new DevicePanel(this);
    this.pushing = new Pushing(this);
    this.connectControls();
    this.policyChanged();
    this.setMode("watch");
    requestAnimationFrame((now) => this.frame(now));
  }

  // Start, time and modes

  start(seed, seeding) {
    this.recorder.keepIfWon();
    try {
      this.game.reset(seed, seeding);
    } catch (error) {
      notice(String(error));
      return;
    }
    notice("");
    Object.assign(this, { seed, seeding, due: 0, denoising: null });
    this.pushing.reset();
    this.devices.begin();
    this.recorder.reset();
    this.isLimitSeen = false;
    if (this.mode === "watch") this.preview();
    this.changed();
  }

  restart() { this.start(this.seed, this.seeding); }

  nextSeed() {
    $("seed").value = this.seed + 1;
    this.start(this.seed + 1, this.seeding);
    if (this.mode === "watch") this.run(true);
  }

  setMode(mode) {
    this.mode = mode;
    document.querySelector(`[name="mode"][value="${mode}"]`).checked = true;
    this.pushing.reset();
    if (mode === "device") this.devices.begin();
    if (mode === "watch" && !this.game.is_in_tick) this.preview();
    const hints = {
      play: "Drag on the scene, or use the arrow keys: the agent follows, and time runs while you push.",
      watch: "Run it; shove the block while it runs; take over with Play at any moment.",
      device: "Connect a board below, then run.",
    };
    $("hint").textContent = hints[mode];
    if (mode === "play") this.run(true);
    else if (mode === "device" && !this.devices.device) this.run(false);
    this.changed();
  }

  run(isRunning) {
    this.isRunning = isRunning && !this.game.is_over;
    this.due = 0;
    $("run").setAttribute("aria-pressed", this.isRunning);
    $("run").setAttribute("aria-label", this.isRunning ? "Pause" : "Run");
  }

  /** Whether a tick may begin now. */
  mayBegin() {
    if (this.game.is_over) return false;
    return this.mode !== "play" || this.pushing.wantsTime();
  }

  /** Begins a control tick; returns whether it has begun. */
  begin() {
    switch (this.mode) {
      case "play": {
        this.pushing.begins();
        this.game.begin_person(...this.pushing.target);
        return true;
      }
      case "watch": {
        const from = performance.now();
        if (this.game.begin_policy()) this.planned(performance.now() - from);
        return true;
      }
      default:
        return this.devices.beginTick();
    }
  }

  planned(ms) {
    timing.planMs = ms;
    timing.firstPlanMs ??= performance.now();
    $("plan-time").textContent = `Last plan: ${ms.toFixed(1)} ms. First plan ${Math.round(timing.firstPlanMs)} ms after the page began to load.`;
    this.plannedAt = performance.now();
    this.denoising = $("show-denoising").checked ? this.readDenoising() : null;
  }

  /** Plans before the first tick, so that the plan is seen. */
  preview() {
    const from = performance.now();
    this.game.preview();
    this.planned(performance.now() - from);
  }

  readDenoising() {
    const points = this.game.denoising();
    const length = 2 * this.mostActions;
    const paths = [];
    for (let at = 0; at < points.length; at += length) paths.push(points.subarray(at, at + length));
    return paths.length ? paths : null;
  }

  /** Takes one physics step; returns false if there is none to take. */
  step() {
    if (!this.game.is_in_tick && !(this.mayBegin() && this.begin())) return false;
    if (this.game.physics_step()) this.ticked();
    return true;
  }

  /** Takes one whole control tick. */
  tick() {
    this.run(false);
    if (this.mode === "device") {
      this.devices.singleTick();
      return;
    }
    if (this.mode === "play") this.pushing.allowTick();
    while (this.step() && this.game.is_in_tick);
    this.changed();
  }

  ticked() {
    this.recorder.ticked();
    const isAtLimit = this.game.at === this.benchmarkSteps && this.mode !== "play";
    if (this.game.is_over || (isAtLimit && !this.isLimitSeen)) {
      this.isLimitSeen = true;
      this.run(false);
      this.recorder.keepIfWon();
      this.changed();
      if (!$("banner").hidden) $("status").textContent = $("banner").innerText;
    }
  }

  seek(at) {
    this.run(false);
    this.game.seek(at);
    this.denoising = null;
    this.pushing.reset();
    this.devices.forget();
    this.changed();
  }

  back() {
    const { game } = this;
    this.seek(game.is_in_tick ? game.at : Math.max(0, game.at - 1));
  }

  fail(error) {
    this.run(false);
    notice(error.message ?? String(error));
  }

  // Pictures

  frame(now) {
    const from = performance.now();
    try {
      if (this.isRunning) {
        this.pushing.move(now - this.last);
        this.due += Math.min(now - this.last, MAX_FRAME_MS) * PHYSICS_PER_MS * this.speed;
        while (this.isRunning && this.due >= 1) {
          this.due -= 1;
          if (!this.step()) this.due = 0;
        }
        this.show();
      }
      this.draw(now);
    } catch (error) {
      this.fail(error);
    }
    timing.frames += 1;
    timing.frameMs += performance.now() - from;
    this.last = now;
    requestAnimationFrame((next) => this.frame(next));
  }

  draw(now) {
    const scene = this.game.scene();
    const isPlay = this.mode === "play";
    const target = isPlay && this.pushing.target ? this.pushing.target : scene.slice(13);
    this.view.draw({
      scene,
      target: Number.isFinite(target[0]) ? target : null,
      planned: $("show-plan").checked ? this.game.planned() : null,
      denoising: this.denoising,
      plannedAt: this.plannedAt,
      now,
    });
  }

  /** Shows the readings. */
  show() {
    const [coverage, reward, , isSuccess, steps] = this.game.scene().slice(8);
    $("coverage").value = `${(100 * coverage).toFixed(1)} %`;
    $("coverage-bar").style.transform = `scaleX(${coverage})`;
    $("reward").value = reward.toFixed(3);
    $("time").value = `${(steps / 10).toFixed(1)} s`;
    $("step").value = steps;
    $("timeline").max = this.game.last;
    $("timeline").value = this.game.at;
    $("back").disabled = this.game.at === 0 && !this.game.is_in_tick;
    return { isSuccess, steps };
  }

  /** Shows everything, after a tick of importance. */
  changed() {
    const { isSuccess, steps } = this.show();
    const isAtLimit = steps === this.benchmarkSteps && this.game.at === this.game.last && !isSuccess && this.mode !== "play";
    $("banner").hidden = !(this.game.is_over || isAtLimit);
    $("banner").classList.toggle("failed", !isSuccess);
    const [title, text] = $("banner").children;
    title.textContent = isSuccess ? "Solved" : "Time is over";
    text.textContent = isSuccess
      ? `in ${steps} control steps, ${(steps / 10).toFixed(1)} s`
      : `${steps} control steps; the benchmark ends here`;
    this.compare.show();
    this.recorder.show();
  }

  // Controls

  policyChanged() {
    const { policy } = this;
    this.mostActions = policy.most_actions;
    $("passes").max = policy.most_passes;
    $("passes").value = policy.passes;
    $("actions").max = policy.most_actions;
    $("actions").value = policy.actions;
    this.crc32c = policy.crc32c;
    this.isAsInFile = true;
    this.defaults = [policy.passes, policy.actions].join();
    this.showPlans();
  }

  showPlans() {
    $("passes-value").value = `${$("passes").value} of ${$("passes").max}`;
    $("actions-value").value = `${$("actions").value} of ${$("actions").max}`;
  }

  usePolicy(policy) {
    // The game takes the policy: what the page shows of it is read first.
    this.policy = { most_passes: policy.most_passes, passes: policy.passes, most_actions: policy.most_actions, actions: policy.actions, crc32c: policy.crc32c };
    this.game.set_policy(policy);
    this.policyChanged();
    if (this.mode === "watch" && !this.game.is_in_tick) this.preview();
    this.changed();
  }

  async chooseModel(name) {
    try {
      const policy = new Policy(await fetchBytes(MODELS[name]));
      $("model-error").hidden = true;
      this.usePolicy(policy);
    } catch (error) {
      this.modelFailed(`${MODELS[name]}: ${error.message ?? error}`);
    }
  }

  modelFailed(text) {
    $("model-error").textContent = text;
    $("model-error").hidden = false;
  }

  /** Runs the person's own model file. */
  async openFile(file) {
    try {
      const policy = new Policy(new Uint8Array(await file.arrayBuffer()));
      const own = $("model").querySelector('[value="own"]');
      own.hidden = own.disabled = false;
      own.textContent = file.name;
      $("model").value = "own";
      $("model-error").hidden = true;
      this.usePolicy(policy);
    } catch (error) {
      this.modelFailed(`${file.name}: ${error.message ?? error}`);
    }
  }

  connectControls() {
    this.policy = firstPolicy;
    $("start").addEventListener("submit", (event) => {
      event.preventDefault();
      this.start(Number($("seed").value), $("seeding").value);
    });
    for (const radio of document.querySelectorAll('[name="mode"]')) {
      radio.addEventListener("change", () => this.setMode(radio.value));
    }
    const actions = { reset: () => this.restart(), back: () => this.back(), tick: () => this.tick(), next: () => this.nextSeed() };
    for (const [id, action] of Object.entries(actions)) $(id).addEventListener("click", () => this.try(action));
    $("run").addEventListener("click", () => this.run(!this.isRunning));
    $("timeline").addEventListener("input", () => this.seek(Number($("timeline").value)));
    $("speed").addEventListener("change", () => (this.speed = Number($("speed").value)));
    $("model").addEventListener("change", () => this.chooseModel($("model").value));
    $("file").addEventListener("change", () => {
      const [file] = $("file").files;
      if (file) this.openFile(file);
      $("file").value = "";
    });
    for (const id of ["passes", "actions"]) {
      $(id).addEventListener("input", () => {
        this.game.set_plans(Number($("passes").value), Number($("actions").value));
        this.isAsInFile = [$("passes").value, $("actions").value].join() === this.defaults;
        this.showPlans();
        if (this.mode === "watch" && !this.game.is_in_tick) this.try(() => this.preview());
        this.changed();
      });
    }
    for (const id of ["noise", "delay", "lost"]) {
      $(id).addEventListener("input", () => {
        const [noise, delay, lost] = ["noise", "delay", "lost"].map((of) => Number($(of).value));
        this.game.set_disturbances(noise, delay, lost / 100);
        $("noise-value").value = noise ? `${noise} px` : "none";
        $("delay-value").value = delay ? `${delay / 10} s` : "none";
        $("lost-value").value = lost ? `${lost} %` : "none";
      });
    }
    $("estimator").addEventListener("change", () => this.game.set_estimator($("estimator").checked));
    $("show-denoising").addEventListener("change", () => {
      this.plannedAt = performance.now();
      this.denoising = $("show-denoising").checked ? this.readDenoising() : null;
    });
    $("scene").addEventListener("keydown", (event) => this.key(event));
    this.connectDrop();
  }

  try(action) {
    try {
      action();
    } catch (error) {
      this.fail(error);
    }
  }

  /** Keys on the scene that are not arrows. */
  key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const keys = {
      " ": () => this.run(!this.isRunning),
      ",": () => this.back(),
      ".": () => this.tick(),
      r: () => this.restart(),
      n: () => this.nextSeed(),
      p: () => this.setMode("play"),
      w: () => this.setMode("watch"),
    };
    const action = keys[event.key.toLowerCase()];
    if (!action) return;
    event.preventDefault();
    this.try(action);
  }

  connectDrop() {
    const isFile = (event) => event.dataTransfer?.types.includes("Files");
    addEventListener("dragover", (event) => {
      if (!isFile(event)) return;
      event.preventDefault();
      $("drop").hidden = false;
    });
    addEventListener("dragleave", (event) => ($("drop").hidden = event.relatedTarget === null || $("drop").hidden));
    addEventListener("drop", (event) => {
      if (!isFile(event)) return;
      event.preventDefault();
      $("drop").hidden = true;
      const [file] = event.dataTransfer.files;
      if (file) this.openFile(file);
    });
  }
}

async function fetchBytes(name) {
  const response = await fetch(name);
  if (!response.ok) throw new Error(`${name} is not beside the page (${response.status})`);
  return new Uint8Array(await response.arrayBuffer());
}

let firstPolicy;

async function main() {
  if (typeof WebAssembly !== "object") {
    notice("This browser has no WebAssembly, or it is switched off: the simulator and the policy need it.");
    return;
  }
  try {
    const [bytes, digests] = await Promise.all([
      fetchBytes(MODELS.small),
      fetch("digests.json").then((response) => response.json()),
      init({ module_or_path: "pusht_web_bg.wasm" }),
    ]);
    const policy = new Policy(bytes);
    firstPolicy = { most_passes: policy.most_passes, passes: policy.passes, most_actions: policy.most_actions, actions: policy.actions, crc32c: policy.crc32c };
    const seed = Number($("seed").value);
    const game = new Game(policy, seed, $("seeding").value);
    const page = new Page(game, new View($("scene"), Game.geometry()), digests);
    page.start(seed, $("seeding").value);
    // For the browser's console, and for tests.
    globalThis.pusht = page;
  } catch (error) {
    notice(`The page can't start: ${error.message ?? error}`);
  }
}

main();
