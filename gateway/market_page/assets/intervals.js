// The buttons that choose the interval of a candle. The choice is kept for the next visit.

import { element } from "./market.js";

export const INTERVALS = ["1m", "5m", "15m", "30m", "1h", "4h", "1d"];

const KEY = "market-interval";

const stored = () => {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
};

export class Intervals {
  constructor(chosen) {
    this.chosen = INTERVALS.includes(stored()) ? stored() : INTERVALS[0];
    this.buttons = INTERVALS.map((interval) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "interval";
      button.textContent = interval;
      button.addEventListener("click", () => {
        this.choose(interval);
        chosen(interval);
      });
      return button;
    });
    element("intervals").replaceChildren(...this.buttons);
    this.show();
  }

  choose(interval) {
    this.chosen = interval;
    try {
      localStorage.setItem(KEY, interval);
    } catch {
      // Storage can be switched off: then the choice lasts as long as the page.
    }
    this.show();
  }

  show() {
    this.buttons.forEach((button, at) => button.setAttribute("aria-pressed", String(INTERVALS[at] === this.chosen)));
  }
}
