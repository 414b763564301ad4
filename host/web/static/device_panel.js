// The device that drives the scene, and its card on the page.

import { Device, hasSerial, openBridge, openSerial } from "./device.js";
import { $ } from "./dom.js";

export class DevicePanel {
  device = null;
  /** Times that the device lost the episode. */
  restarts = 0;
  #isAsking = false;
  #hasBegun = false;
  /** Episode that an answer is for: one for an earlier episode is dropped. */
  #episode = 0;

  constructor(page) {
    this.page = page;
    if (!hasSerial()) {
      $("serial").disabled = true;
      $("device-text").textContent = "This browser has no Web Serial (Chrome, Edge and Opera have it, on a computer). The bridge works everywhere.";
    }
    $("serial").addEventListener("click", () => this.connect(openSerial));
    $("socket").addEventListener("click", () => this.connect(() => openBridge(Number($("bridge").value))));
    $("disconnect").addEventListener("click", () => this.device?.close());
  }

  async connect(open) {
    $("device-badge").textContent = "connecting";
    try {
      const wire = await open();
      const device = new Device(wire, () => this.#lost(device));
      await device.hello();
      if (!this.page.game.observation(device.task).length) {
        device.close();
        throw new Error(`the device's policy is for ${device.task || "an unknown task"}, not for PushT`);
      }
      this.device = device;
      this.forget();
      this.#show(device.board, `${device.board} runs the model ${device.crc32c.toString(16).padStart(8, "0")}, task ${device.task}.`);
      this.page.setMode("device");
    } catch (error) {
      this.#show("none", error.message);
    }
  }

  #show(badge, text) {
    $("device-badge").textContent = badge;
    $("device-text").textContent = text;
    $("disconnect").hidden = !this.device;
    $("serial").hidden = $("socket").hidden = $("bridge").parentElement.hidden = Boolean(this.device);
  }

  #lost(device) {
    if (this.device !== device) return;
    this.device = null;
    this.#show("none", "Disconnected.");
    if (this.page.mode === "device") this.page.run(false);
    this.page.changed();
  }

  /** A new episode begins. */
  begin() {
    this.restarts = 0;
    this.forget();
  }

  /** What the device has seen no longer leads here. */
  forget() {
    this.#episode += 1;
    this.#hasBegun = false;
  }

  /** Asks for the next action; the tick begins when it is there. */
  beginTick() {
    if (!this.#isAsking) this.#ask().catch((error) => this.page.fail(error));
    return false;
  }

  /** One tick, with time stopped before and after it. */
  async singleTick() {
    const { page } = this;
    try {
      while (page.game.is_in_tick) page.step();
      if (!this.#isAsking && page.mayBegin()) await this.#ask();
      while (page.game.is_in_tick) page.step();
      page.changed();
    } catch (error) {
      page.fail(error);
    }
  }

  async #ask() {
    const { page, device } = this;
    if (!device) throw new Error("No device is connected.");
    const episode = this.#episode;
    this.#isAsking = true;
    try {
      if (!this.#hasBegun) {
        this.#hasBegun = true;
        await device.hello();
        await device.begin(page.seed);
      }
      const observation = page.game.observation(device.task);
      const { action, restarts } = await device.act(observation, page.seed);
      this.restarts += restarts;
      if (episode === this.#episode && page.mode === "device") page.game.begin_device(action[0], action[1]);
    } finally {
      this.#isAsking = false;
    }
  }
}
