// The order book of one instrument, and how it is kept in step with the stream of updates as docs/api.md describes it.

// All prices of an instrument have the same number of decimals, so their texts can be compared without a float.
export const comparePrices = (one, other) => one.length - other.length || (one < other ? -1 : one > other ? 1 : 0);

export class Book {
  constructor() {
    this.begin({ lastUpdateId: 0, bids: [], asks: [] });
  }

  begin(snapshot) {
    this.lastId = snapshot.lastUpdateId;
    this.bids = new Map(snapshot.bids);
    this.asks = new Map(snapshot.asks);
  }

  // Takes an update over. Returns false if updates before it are missing: then the book has to begin anew.
  follow(update) {
    if (update.u <= this.lastId) return true;
    if (update.U > this.lastId + 1) return false;
    change(this.bids, update.b);
    change(this.asks, update.a);
    this.lastId = update.u;
    return true;
  }

  // The best levels of a side ("bids" or "asks") as [price, quantity], the best one first.
  levels(side, count = Infinity) {
    const sign = side === "bids" ? -1 : 1;
    return [...this[side]].sort((one, other) => sign * comparePrices(one[0], other[0])).slice(0, count);
  }
}

const change = (side, levels) => {
  for (const [price, quantity] of levels) {
    if (/[1-9]/.test(quantity)) side.set(price, quantity);
    else side.delete(price);
  }
};

const KEPT_UPDATES = 10_000;

// Keeps updates until a snapshot is there, then follows them; begins anew when one is missing.
export class BookFollower {
  // `loadSnapshot` returns a promise of the answer of GET depth. `changed` is called after each change.
  constructor(book, loadSnapshot, changed) {
    this.book = book;
    this.loadSnapshot = loadSnapshot;
    this.changed = changed;
    this.isLevel = false;
    this.beginnings = 0;
    this.waiting = [];
  }

  // The stream has ended: nothing is valid until the next `begin`.
  end() {
    this.isLevel = false;
    this.beginnings += 1;
    this.waiting = [];
  }

  // Call it when the stream is open. Rejects if the snapshot cannot be loaded.
  async begin() {
    this.end();
    const mine = this.beginnings;
    const snapshot = await this.loadSnapshot();
    if (mine !== this.beginnings) return;
    const [first] = this.waiting;
    if (first && first.U > snapshot.lastUpdateId + 1 && first.u > snapshot.lastUpdateId) {
      throw new Error("The snapshot is older than the stream.");
    }
    this.book.begin(snapshot);
    this.isLevel = this.waiting.every((update) => this.book.follow(update));
    this.waiting = [];
    if (!this.isLevel) throw new Error("Updates are missing.");
    this.changed();
  }

  // Returns false if updates are missing: then the caller begins anew.
  receive(update) {
    if (!this.isLevel) {
      this.waiting.push(update);
      if (this.waiting.length > KEPT_UPDATES) this.waiting.shift();
      return true;
    }
    this.isLevel = this.book.follow(update);
    if (this.isLevel) this.changed();
    return this.isLevel;
  }
}
