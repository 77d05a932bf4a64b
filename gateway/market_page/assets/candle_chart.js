// Candles and volume. The chart's library draws floats; what the legend shows are the texts of the API.

import { CandlestickSeries, CrosshairMode, HistogramSeries, createChart } from "./vendor/lightweight-charts.mjs";

import { Decimal, shown } from "./decimal.js";
import { element, market } from "./market.js";

const LABEL_DECIMALS = Math.min(market.priceDecimals, 8);
const VOLUME_SHARE = 0.2;
const SHOWN_CANDLES = { fewest: 40, most: 120 };
const STEP = 10;
const ZOOM = 0.8;

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Labels of the axis are between prices, so there is no text of the API for them.
const labelText = (price) => Decimal.of(price.toFixed(LABEL_DECIMALS)).text(LABEL_DECIMALS);

const themed = () => ({
  layout: {
    background: { color: colour("--surface") },
    textColor: colour("--subtle"),
    panes: { separatorColor: colour("--line"), separatorHoverColor: colour("--line"), enableResize: false },
    fontFamily: getComputedStyle(document.body).fontFamily,
    fontSize: 11,
    attributionLogo: false,
  },
  grid: { vertLines: { color: colour("--grid") }, horzLines: { color: colour("--grid") } },
  rightPriceScale: { borderColor: colour("--line") },
  timeScale: { borderColor: colour("--line") },
});

export class CandleChart {
  // `loadOlder(timeMs)` returns a promise of the klines that ended before then.
  constructor(loadOlder) {
    this.loadOlder = loadOlder;
    this.candles = []; // {timeMs, closeMs, open, high, low, close, volume, count}: texts of the API; the oldest first
    this.isComplete = false;
    this.space = element("chart");
    this.chart = createChart(this.space, {
      autoSize: true,
      ...themed(), // first of all: the logo would be drawn with an inline style
    });
    this.chart.applyOptions({
      crosshair: { mode: CrosshairMode.Normal },
      timeScale: { timeVisible: true, secondsVisible: false, rightOffset: 4 },
      localization: { locale: "en-GB" },
    });
    const precise = { type: "custom", formatter: labelText, minMove: 10 ** -LABEL_DECIMALS };
    this.prices = this.chart.addSeries(CandlestickSeries, { priceFormat: precise, borderVisible: false });
    this.prices.priceScale().applyOptions({ scaleMargins: { top: 0.14, bottom: 0.08 } });
    const plain = { priceFormat: { type: "volume" }, lastValueVisible: false, priceLineVisible: false };
    this.volumes = this.chart.addSeries(HistogramSeries, plain, 1);
    const [upper, lower] = this.chart.panes();
    upper.setStretchFactor(1 - VOLUME_SHARE);
    lower.setStretchFactor(VOLUME_SHARE);
    this.paint();
    addEventListener("themechange", () => this.paint());
    this.chart.subscribeCrosshairMove((move) => this.showLegend(move.time));
    this.chart.timeScale().subscribeVisibleLogicalRangeChange((range) => this.completeBefore(range));
    this.space.addEventListener("keydown", (event) => this.obey(event));
  }

  paint() {
    const [up, down] = [colour("--up-fill"), colour("--down-fill")];
    this.chart.applyOptions(themed());
    this.prices.applyOptions({ upColor: up, downColor: down, wickUpColor: up, wickDownColor: down });
    this.volumeColours = [colour("--up-faint"), colour("--down-faint")];
    this.drawAll();
  }

  // Replaces all: the answer of GET klines.
  begin(klines) {
    this.candles = klines.map(ofKline);
    this.isComplete = klines.length === 0;
    this.drawAll();
    const count = this.candles.length;
    const shownCount = Math.min(Math.max(count, SHOWN_CANDLES.fewest), SHOWN_CANDLES.most);
    this.chart.timeScale().setVisibleLogicalRange({ from: count - shownCount, to: count + 4 });
  }

  // A candle of the stream. Returns false if candles before it are missing: then the caller loads all again.
  receive(kline) {
    const candle = {
      timeMs: kline.t,
      closeMs: kline.T,
      open: kline.o,
      high: kline.h,
      low: kline.l,
      close: kline.c,
      volume: kline.v,
    };
    const last = this.candles.at(-1);
    if (last && candle.timeMs < last.timeMs) return true;
    if (last && candle.timeMs > last.closeMs + 1) return false;
    if (last?.timeMs === candle.timeMs) this.candles.pop();
    this.candles.push(candle);
    this.prices.update(bar(candle));
    this.volumes.update(this.volumeBar(candle));
    this.describe();
    return true;
  }

  drawAll() {
    this.prices.setData(this.candles.map(bar));
    this.volumes.setData(this.candles.map((candle) => this.volumeBar(candle)));
    this.describe();
  }

  describe() {
    element("no-trades").hidden = this.candles.length > 0;
    this.showLegend(null);
  }

  volumeBar(candle) {
    const isUp = !Decimal.of(candle.open).isMoreThan(Decimal.of(candle.close));
    return { time: candle.timeMs / 1000, value: Number(candle.volume), color: this.volumeColours[isUp ? 0 : 1] };
  }

  // Of the candle below the crosshair, else of the newest one.
  showLegend(time) {
    const found = time ? this.candles.find((candle) => candle.timeMs === time * 1000) : null;
    const candle = found ?? this.candles.at(-1);
    if (!candle) {
      element("legend").replaceChildren();
      return;
    }
    const prices = ["open", "high", "low", "close"].map((name) => [name, shown(candle[name], market.priceDecimals)]);
    const volume = ["volume", `${shown(candle.volume, market.quantityDecimals)} ${market.base}`];
    element("legend").replaceChildren(
      ...[...prices, volume].map(([name, text]) => {
        const part = document.createElement("span");
        const value = document.createElement("b");
        value.textContent = text;
        part.append(`${name} `, value);
        return part;
      }),
    );
  }

  // Loads older candles when the reader has come to the first one.
  async completeBefore(range) {
    if (!range || range.from > STEP || this.isComplete || this.isLoading || !this.candles.length) return;
    this.isLoading = true;
    const [first] = this.candles;
    try {
      const older = (await this.loadOlder(first.timeMs - 1)).map(ofKline);
      if (this.candles[0] !== first) return; // another interval has been chosen meanwhile
      this.isComplete = older.length === 0;
      this.candles = [...older, ...this.candles];
      if (older.length) this.drawAll();
    } catch {
      // Not loaded: the next move of the chart asks again.
    } finally {
      this.isLoading = false;
    }
  }

  obey(event) {
    const scale = this.chart.timeScale();
    const range = scale.getVisibleLogicalRange();
    if (!range || event.ctrlKey || event.metaKey || event.altKey) return;
    const moved = { ArrowLeft: -STEP, ArrowRight: STEP }[event.key];
    const zoomed = { "+": ZOOM, "=": ZOOM, "-": 1 / ZOOM }[event.key];
    if (moved) scale.setVisibleLogicalRange({ from: range.from + moved, to: range.to + moved });
    else if (zoomed) scale.setVisibleLogicalRange({ from: range.to - (range.to - range.from) * zoomed, to: range.to });
    else return;
    event.preventDefault();
  }
}

const ofKline = ([timeMs, open, high, low, close, volume, closeMs]) => ({
  timeMs,
  closeMs,
  open,
  high,
  low,
  close,
  volume,
});

const bar = (candle) => ({
  time: candle.timeMs / 1000,
  open: Number(candle.open),
  high: Number(candle.high),
  low: Number(candle.low),
  close: Number(candle.close),
});
