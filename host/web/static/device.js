// A device behind the page: the wire, and requests that are sent until they are answered.

import { Heard, Link } from "./pusht_web.js";

const BAUD = 115200;
/** Longer than a plan, shorter than the second after which a device gives its host up. */
const TIMEOUT_MS = 400;
const MAX_ATTEMPTS = 100;
const MAX_RESTARTS = 5;

export const hasSerial = () => "serial" in navigator;

/** Opens a serial port that the person chooses. */
export async function openSerial() {
  const port = await navigator.serial.requestPort();
  await port.open({ baudRate: BAUD });
  const writer = port.writable.getWriter();
  const wire = { onbytes: null, onclose: null, send: (bytes) => writer.write(bytes) };
  const reader = port.readable.getReader();
  wire.close = async () => {
    await reader.cancel();
    writer.releaseLock();
    await port.close();
  };
  (async () => {
    try {
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        wire.onbytes?.(value);
      }
    } catch {
      // The board was unplugged.
    }
    reader.releaseLock();
    wire.onclose?.();
  })();
  return wire;
}

/** Connects to the bridge of `pusht link --websocket`. */
export function openBridge(port) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}/`);
    socket.binaryType = "arraybuffer";
    const wire = { onbytes: null, onclose: null, send: (bytes) => socket.send(bytes), close: () => socket.close() };
    socket.onopen = () => resolve(wire);
    socket.onmessage = ({ data }) => wire.onbytes?.(new Uint8Array(data));
    socket.onclose = () => {
      reject(new Error(`no bridge at port ${port}: pusht link --tcp HOST:PORT --websocket ${port}`));
      wire.onclose?.();
    };
  });
}

/** The episode is lost on the device: it has to begin anew. */
class Forgotten extends Error {}

export class Device {
  #link = new Link();
  #wire;
  #heard = null;
  #isClosed = false;

  constructor(wire, onclose) {
    this.#wire = wire;
    wire.onbytes = (bytes) => this.#take(bytes);
    wire.onclose = () => {
      this.#isClosed = true;
      this.#heard?.(Heard.Nothing);
      onclose();
    };
  }

  #take(bytes) {
    const heard = this.#link.receive(bytes);
    if (heard !== Heard.Nothing) this.#heard?.(heard);
  }

  get board() { return this.#link.board; }
  get task() { return this.#link.task; }
  get crc32c() { return this.#link.model_crc32c; }

  close() { this.#wire.close(); }

  /** What the next received bytes mean; `Nothing` when the time is over. */
  #wait() {
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#heard(Heard.Nothing), TIMEOUT_MS);
      this.#heard = (heard) => {
        clearTimeout(timer);
        this.#heard = () => {};
        resolve(heard);
      };
      this.#take(new Uint8Array());
    });
  }

  /** Sends a request until it is answered. */
  async #ask(bytes) {
    for (let attempt = 0; attempt < MAX_ATTEMPTS && !this.#isClosed; attempt += 1) {
      const heard = this.#wait();
      await this.#wire.send(attempt ? this.#link.again() : bytes);
      switch (await heard) {
        case Heard.Answer: return;
        case Heard.Forgotten: throw new Forgotten("the device has lost the episode");
        case Heard.Refused: throw new Error(this.#link.message);
      }
    }
    throw new Error(this.#isClosed ? "the wire is closed" : "the device gives no answer");
  }

  hello() {
    const [random] = crypto.getRandomValues(new Uint32Array(1));
    return this.#ask(this.#link.hello(random));
  }

  begin(seed) { return this.#ask(this.#link.begin(seed)); }

  /** {action, restarts}: the device's action after an observation; after a lost session it begins anew. */
  async act(observation, seed) {
    for (let restart = 0; ; restart += 1) {
      try {
        await this.#ask(this.#link.observe(observation));
        return { action: this.#link.action, restarts: restart };
      } catch (error) {
        if (!(error instanceof Forgotten) || restart === MAX_RESTARTS) throw error;
        await this.hello();
        await this.begin(seed);
      }
    }
  }
}
