// The best levels of both sides, with the quantity up to each level. As many rows as the height has room for.

import { Decimal, shown } from "./decimal.js";
import { inFrames } from "./frames.js";
import { element, market } from "./market.js";

const FEWEST_ROWS = 5;
const ROWS_OF_A_PHONE = 10;
const SPREAD_DECIMALS = 3;

export class Ladder {
  constructor(book) {
    this.book = book;
    this.rows = ROWS_OF_A_PHONE;
    this.draw = inFrames(() => this.drawNow());
    new ResizeObserver(() => this.fit()).observe(element("ladder").parentElement);
  }

  fit() {
    const space = element("ladder").parentElement;
    const rowHeight = parseFloat(getComputedStyle(space).getPropertyValue("--row-height"));
    const isFixed = getComputedStyle(space).getPropertyValue("--fixed-height").trim() === "1";
    const others = element("ladder").tHead.offsetHeight + element("spread").closest("tbody").offsetHeight;
    const room = Math.floor((space.clientHeight - others) / rowHeight / 2);
    this.rows = isFixed ? Math.max(FEWEST_ROWS, room) : ROWS_OF_A_PHONE;
    this.draw();
  }

  drawNow() {
    const bids = totalled(this.book.levels("bids", this.rows));
    const asks = totalled(this.book.levels("asks", this.rows));
    const most = [bids, asks].map((side) => side.at(-1)?.total ?? Decimal.zero);
    const largest = most[0].isMoreThan(most[1]) ? most[0] : most[1];
    fill(element("bids"), bids, this.rows, largest);
    fill(element("asks"), asks, this.rows, largest, true);
    element("spread").textContent = spreadText(asks[0], bids[0]);
    element("imbalance").textContent = shareText(...most);
  }
}

const totalled = (levels) => {
  let total = Decimal.zero;
  return levels.map(([price, quantity]) => {
    total = total.plus(Decimal.of(quantity));
    return { price, quantity, total };
  });
};

// Rows are kept and only their texts change. Asks are shown from the worst to the best, above the bids.
const fill = (body, levels, count, largest, isReversed = false) => {
  while (body.rows.length < count) {
    const row = body.insertRow();
    for (let cell = 0; cell < 3; cell += 1) row.insertCell();
  }
  while (body.rows.length > count) body.deleteRow(-1);
  for (let at = 0; at < count; at += 1) {
    write(body.rows[isReversed ? count - 1 - at : at], levels[at], largest);
  }
};

const write = (row, level, largest) => {
  const texts = level ? textsOf(level) : ["", "", ""];
  texts.forEach((text, at) => {
    if (row.cells[at].textContent !== text) row.cells[at].textContent = text;
  });
  const share = level && !largest.isZero ? level.total.drawn / largest.drawn : 0;
  row.style.setProperty("--share", share.toFixed(4));
};

const textsOf = ({ price, quantity, total }) => [
  shown(price, market.priceDecimals),
  shown(quantity, market.quantityDecimals),
  total.text(market.quantityDecimals),
];

const spreadText = (ask, bid) => {
  if (!ask && !bid) return "no orders";
  if (!ask || !bid) return ask ? "no bids" : "no asks";
  const [high, low] = [Decimal.of(ask.price), Decimal.of(bid.price)];
  const spread = high.minus(low);
  return `spread ${spread.text(market.priceDecimals)} (${spread.percentOf(low, SPREAD_DECIMALS)?.text(SPREAD_DECIMALS) ?? "–"} %)`;
};

const shareText = (bids, asks) => {
  const percent = bids.percentOf(bids.plus(asks), 0);
  return percent ? `${percent.text()} % bids` : "";
};
