// The newest trades. Trade numbers of an instrument have no gaps, so one that is there already is not added again.

import { shown } from "./decimal.js";
import { inFrames } from "./frames.js";
import { element, market } from "./market.js";

const ROWS = 60;

const timeText = (ms) => new Date(ms).toISOString().slice(11, 19);

export class Tape {
  constructor() {
    this.trades = []; // the newest first
    this.draw = inFrames(() => this.drawNow());
  }

  // Replaces all: `trades` as GET trades answers, the oldest first.
  begin(trades) {
    const known = trades.map(({ id, price, qty, time, isBuyerMaker }) => ({
      id,
      price,
      quantity: qty,
      timeMs: time,
      isSell: isBuyerMaker,
    }));
    this.trades = known.reverse();
    this.draw();
  }

  add(event) {
    if (this.trades.length && event.t <= this.trades[0].id) return;
    this.trades.unshift({ id: event.t, price: event.p, quantity: event.q, timeMs: event.T, isSell: event.m });
    this.trades.length = Math.min(this.trades.length, ROWS);
    this.draw();
  }

  drawNow() {
    element("empty-tape").hidden = this.trades.length > 0;
    const body = element("tape");
    const rows = new Map([...body.rows].map((row) => [Number(row.dataset.id), row]));
    body.replaceChildren(...this.trades.slice(0, ROWS).map((trade) => rows.get(trade.id) ?? rowOf(trade)));
  }
}

const rowOf = (trade) => {
  const row = document.createElement("tr");
  row.dataset.id = trade.id;
  row.className = trade.isSell ? "sell" : "buy";
  const [price, quantity, time] = [0, 1, 2].map(() => row.insertCell());
  const side = document.createElement("span");
  side.className = "unseen";
  side.textContent = trade.isSell ? "sold at " : "bought at ";
  price.append(side, shown(trade.price, market.priceDecimals));
  price.className = "price";
  quantity.textContent = shown(trade.quantity, market.quantityDecimals);
  time.textContent = timeText(trade.timeMs);
  return row;
};
