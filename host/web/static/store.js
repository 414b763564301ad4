// Episodes that a person played, in this browser's IndexedDB; in memory where there is none.

const NAME = "episodes";

/** Waits for a request of IndexedDB. */
const done = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

export class Store {
  /** @returns a store; `isKept` says whether it outlives the page */
  static async open() {
    const store = new Store();
    store.memory = [];
    try {
      const request = indexedDB.open("pusht", 1);
      request.onupgradeneeded = () => request.result.createObjectStore(NAME, { autoIncrement: true });
      store.database = await done(request);
    } catch {
      store.database = null;
    }
    store.isKept = store.database !== null;
    return store;
  }

  #objects(access) {
    return this.database.transaction(NAME, access).objectStore(NAME);
  }

  /** @param episode {seed, seeding, rows: Float32Array} */
  async add(episode) {
    if (this.database) await done(this.#objects("readwrite").add(episode));
    else this.memory.push(episode);
  }

  async all() {
    return this.database ? done(this.#objects("readonly").getAll()) : this.memory;
  }

  async clear() {
    if (this.database) await done(this.#objects("readwrite").clear());
    this.memory = [];
  }
}
