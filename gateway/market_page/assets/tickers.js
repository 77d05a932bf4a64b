// All instruments with their last price and their change in 24 hours, and the headline of this page's instrument.

import { Decimal, shown } from "./decimal.js";
import { element, market } from "./market.js";

const VOLUME_DECIMALS = 2;

const changeText = (percent) => `${percent.sign > 0 ? "+" : ""}${percent.text(2)} %`;
const direction = (sign) => (sign > 0 ? "up" : sign < 0 ? "down" : "");

export class Tickers {
  constructor() {
    this.rows = new Map([...element("tickers").rows].map((row) => [row.dataset.symbol, row]));
    this.last = null;
  }

  // The answer of GET ticker/24hr.
  begin(tickers) {
    for (const one of tickers) {
      this.show({
        symbol: one.symbol,
        last: one.lastPrice,
        percent: one.priceChangePercent,
        high: one.highPrice,
        low: one.lowPrice,
        volume: one.volume,
        quoteVolume: one.quoteVolume,
      });
    }
  }

  // Those of the stream !ticker@arr.
  receive(events) {
    for (const one of events) {
      this.show({
        symbol: one.s,
        last: one.c,
        percent: one.P,
        high: one.h,
        low: one.l,
        volume: one.v,
        quoteVolume: one.q,
      });
    }
  }

  show(ticker) {
    if (Decimal.of(ticker.last).isZero) return; // nobody has traded it yet
    const percent = Decimal.of(ticker.percent).rounded(2);
    const row = this.rows.get(ticker.symbol);
    if (row) {
      row.cells[1].textContent = shown(ticker.last, Number(row.dataset.priceDecimals));
      row.cells[2].textContent = changeText(percent);
      row.cells[2].className = `figure ${direction(percent.sign)}`;
    }
    if (ticker.symbol === market.symbol) this.showHeadline(ticker, percent);
  }

  showHeadline(ticker, percent) {
    this.showLast(ticker.last);
    element("day-change").textContent = changeText(percent);
    element("day-change").className = `figure ${direction(percent.sign)}`;
    element("day-high").textContent = shown(ticker.high, market.priceDecimals);
    element("day-low").textContent = shown(ticker.low, market.priceDecimals);
    element("day-volume").textContent = Decimal.of(ticker.volume).rounded(VOLUME_DECIMALS).text(VOLUME_DECIMALS);
    element("day-quote-volume").textContent = Decimal.of(ticker.quoteVolume).rounded(0).text();
  }

  // The price of the newest trade.
  showLast(text) {
    const price = Decimal.of(text);
    const sign = this.last ? price.minus(this.last).sign : 0;
    this.last = price;
    const last = element("last");
    last.textContent = price.text(market.priceDecimals);
    if (sign) last.className = `figure ${direction(sign)}`;
    document.title = `${last.textContent} ${market.name}`;
  }
}
