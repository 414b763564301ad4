// The digest of an episode beside that of `pusht`.

import { $ } from "./dom.js";

export class Compare {
  /** @param digests what `cargo web` has computed: [{name, crc32c, seeds}] */
  constructor(page, digests) {
    Object.assign(this, { page, digests });
  }

  /** The model that plays: the device's, or the page's. */
  #model() {
    const { page } = this;
    const crc32c = page.mode === "device" ? page.devices.device?.crc32c : page.crc32c;
    return this.digests.find((model) => model.crc32c === crc32c);
  }

  show() {
    const { game, seed, seeding, mode, isAsInFile, benchmarkSteps } = this.page;
    const model = this.#model();
    const expected = seeding === "legacy" && (isAsInFile || mode === "device") ? model?.seeds[seed] : undefined;
    const [actions, states, steps] = expected ?? ["–", "–", "–"];
    $("action-digest").textContent = game.action_digest;
    $("state-digest").textContent = game.state_digest;
    $("steps-here").textContent = game.at;
    $("action-expected").textContent = actions;
    $("state-expected").textContent = states;
    $("steps-expected").textContent = steps;
    const player = game.player;
    const isWhole = game.is_over || game.at === benchmarkSteps;
    const isItsOwn = player === "policy" || player === "device";
    let verdict = "";
    let text = `Let the policy play seed ${seed} from the start to the end: then each pair is equal, bit for bit.`;
    if (!expected) {
      text = "pusht's digests are here for the models of this page as they are, seeding legacy, seeds 100000 to 100049.";
    } else if (isItsOwn && isWhole) {
      const isEqual = game.action_digest === actions && game.state_digest === states;
      verdict = isEqual ? "equal" : "different";
      const who = player === "device" ? `The device ${this.page.devices.device?.board ?? ""} and pusht` : "This page, pusht and the firmware";
      text = isEqual ? `${who} have played the same episode, to the last bit.` : "The bits differ.";
      if (!isEqual && this.page.devices.restarts) text = "The device lost the episode and began anew.";
    } else if (player === "mixed" || player === "person") {
      text = "A hand or a disturbance took part: pusht has another episode.";
    }
    $("verdict").textContent = verdict;
    $("verdict").className = `badge ${verdict === "equal" ? "good" : "bad"}`;
    $("compare-text").textContent = text;
  }
}
