// Episodes that a person played: kept, and saved as one file.

import { Recording } from "./pusht_web.js";
import { $ } from "./dom.js";
import { Store } from "./store.js";

const FILE = "pusht_recorded.zip";
const ROW_LEN = 7;

export class Recorder {
  #isKept = false;

  constructor(page) {
    this.page = page;
    this.opened = Store.open();
    this.count();
    $("keep").addEventListener("click", () => this.keep());
    $("save").addEventListener("click", () => this.save());
    $("clear").addEventListener("click", () => this.clear());
  }

  reset() { this.#isKept = false; }

  ticked() {
    if (this.page.mode !== "play") return;
    this.#isKept = false;
    $("keep").disabled = false;
  }

  show() {
    $("keep").disabled = this.#isKept || this.page.game.recorded().length === 0;
  }

  async keepIfWon() {
    const { game } = this.page;
    if (!this.#isKept && game.is_over && game.player === "person") await this.keep();
  }

  async keep() {
    const { game, seed, seeding } = this.page;
    const rows = game.recorded();
    if (!rows.length) return;
    this.#isKept = true;
    this.show();
    const store = await this.opened;
    await store.add({ seed, seeding, rows });
    await this.count();
  }

  async count() {
    const store = await this.opened;
    const all = await store.all();
    const steps = all.reduce((sum, { rows }) => sum + rows.length / ROW_LEN, 0);
    $("episodes").textContent = all.length ? `${all.length} ${all.length === 1 ? "episode" : "episodes"}, ${steps} steps` : "none yet";
    $("save").disabled = $("clear").disabled = !all.length;
    if (!store.isKept) {
      $("record-text").textContent = "This browser keeps nothing (IndexedDB is missing or switched off): save the file before you leave.";
    }
  }

  async save() {
    const recording = new Recording();
    for (const { seed, rows } of await (await this.opened).all()) recording.add(rows, seed);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([recording.file()], { type: "application/zip" }));
    link.download = FILE;
    link.click();
    URL.revokeObjectURL(link.href);
    recording.free();
  }

  async clear() {
    if (!confirm("Delete all episodes that you have recorded in this browser?")) return;
    await (await this.opened).clear();
    await this.count();
  }
}
