// Quantity of all bids and asks up to each price, as steps. Floats are used for the drawing, never for a number shown.

import { Decimal, shown } from "./decimal.js";
import { inFrames } from "./frames.js";
import { element, market } from "./market.js";

const LEVELS = 150;
const LABELS_HEIGHT = 18;
const SVG = "http://www.w3.org/2000/svg";

export class DepthChart {
  constructor(book) {
    this.book = book;
    this.space = element("depth").parentElement;
    this.draw = inFrames(() => this.drawNow());
    this.pointer = null; // as a share of the width
    new ResizeObserver(() => this.draw()).observe(this.space);
    this.space.addEventListener("pointermove", (event) => this.point(event));
    this.space.addEventListener("pointerleave", () => this.point(null));
  }

  point(event) {
    const box = this.space.getBoundingClientRect();
    this.pointer = event && (event.clientX - box.left) / box.width;
    this.draw();
  }

  drawNow() {
    const bids = steps(this.book.levels("bids", LEVELS));
    const asks = steps(this.book.levels("asks", LEVELS));
    element("no-depth").hidden = bids.length + asks.length > 0;
    const view = viewOf(bids, asks, this.space.clientWidth, this.space.clientHeight - LABELS_HEIGHT);
    const svg = element("depth");
    svg.setAttribute("viewBox", `0 0 ${this.space.clientWidth} ${this.space.clientHeight}`);
    svg.replaceChildren();
    if (view) {
      svg.append(...curve(bids, view, "bid"), ...curve(asks, view, "ask"), ...labels(view));
      this.drawPointer(svg, view, bids, asks);
    } else {
      element("depth-readout").textContent = "";
    }
  }

  drawPointer(svg, view, bids, asks) {
    const price = this.pointer === null ? null : view.from + this.pointer * (view.to - view.from);
    const found = price === null ? null : pointed(price, bids, asks);
    element("depth-readout").textContent = found ? readout(found) : "";
    if (!found) return;
    const x = view.x(price);
    svg.append(node("line", { class: "pointer", x1: x, x2: x, y1: 0, y2: view.height }));
  }
}

const readout = ({ total, side, price }) =>
  `${total.text(market.quantityDecimals)} ${market.base} ${side} to ${shown(price, market.priceDecimals)}`;

const steps = (levels) => {
  let total = Decimal.zero;
  return levels.map(([price, quantity]) => {
    total = total.plus(Decimal.of(quantity));
    return { price, at: Number(price), total, size: total.drawn };
  });
};

// The same distance to both sides of the middle, so that the sides can be compared.
const viewOf = (bids, asks, width, height) => {
  const [bid, ask] = [bids[0]?.at ?? asks[0]?.at, asks[0]?.at ?? bids[0]?.at];
  if (bid === undefined || width <= 0 || height <= 0) return null;
  const middle = (bid + ask) / 2;
  const reaches = [bids.at(-1), asks.at(-1)].filter(Boolean).map((step) => Math.abs(step.at - middle));
  const reach = Math.min(...reaches.filter((one) => one > 0), middle) * 1.02 || 1;
  const [from, to] = [middle - reach, middle + reach];
  const inside = [...bids, ...asks].filter((step) => step.at >= from && step.at <= to);
  const most = Math.max(...inside.map((step) => step.size)) * 1.1 || 1;
  return {
    from,
    to,
    width,
    height,
    most,
    x: (price) => ((price - from) / (to - from)) * width,
    y: (size) => height - (size / most) * (height - 6),
  };
};

const curve = (levels, view, side) => {
  if (!levels.length) return [];
  const edge = side === "bid" ? 0 : view.width;
  const points = [];
  let y = view.height;
  for (const step of levels) {
    const x = Math.min(Math.max(view.x(step.at), -5), view.width + 5);
    points.push([x, y], [x, (y = view.y(step.size))]);
    if (x < 0 || x > view.width) break;
  }
  points.push([edge, y]);
  const line = points.map(([x, height]) => `${x.toFixed(1)},${height.toFixed(1)}`).join(" ");
  return [
    node("polygon", { class: `${side} area`, points: `${line} ${edge},${view.height}` }),
    node("polyline", { class: `${side} line`, points: line }),
  ];
};

const labels = (view) => {
  const at = [
    [6, "start", view.from],
    [view.width / 2, "middle", (view.from + view.to) / 2],
    [view.width - 6, "end", view.to],
  ];
  return at.map(([x, anchor, price]) => {
    const label = node("text", { class: "label", x, y: view.height + 13, "text-anchor": anchor });
    label.textContent = shown(price.toFixed(market.priceDecimals), market.priceDecimals);
    return label;
  });
};

const pointed = (price, bids, asks) => {
  const bid = bids.findLast((step) => step.at >= price);
  const ask = asks.findLast((step) => step.at <= price);
  return bid ? { ...bid, side: "bid" } : ask ? { ...ask, side: "asked" } : null;
};

const node = (name, attributes) => {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
};
