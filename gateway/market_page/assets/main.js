// Connects the streams and the REST API with the parts of the page.
//
// The stream is opened first, then everything is loaded, so that nothing between the two is missed. The page is live
// when the engine is there, the stream is open and the book follows it.

import * as api from "./api.js";
import { Book, BookFollower } from "./book.js";
import { CandleChart } from "./candle_chart.js";
import { DepthChart } from "./depth_chart.js";
import { INTERVALS, Intervals } from "./intervals.js";
import { Ladder } from "./ladder.js";
import { market } from "./market.js";
import { State, showHalt, showState } from "./status.js";
import { Stream } from "./stream.js";
import { Tape } from "./tape.js";
import { Tickers } from "./tickers.js";

const LEVELS = 1000;
const CANDLES = 500;
const TRADES = 60;
const ASK_STATE_MS = 2_000;
const LOAD_AGAIN_MS = 1_000;

const { symbol } = market;
const lower = symbol.toLowerCase();
const book = new Book();
const tape = new Tape();
const tickers = new Tickers();
const ladder = new Ladder(book);
const depthChart = new DepthChart(book);
const candleChart = new CandleChart((endTime) => klines({ endTime }));
const intervals = new Intervals(() => loadCandles().catch(loadLater));

let isEngineThere = null; // not known yet
let hasLoaded = false;
let hasBeenLive = false;

const follower = new BookFollower(
  book,
  () => api.get("depth", { symbol, limit: LEVELS }),
  () => {
    ladder.draw();
    depthChart.draw();
  },
);

const klines = (more = {}) => api.get("klines", { symbol, interval: intervals.chosen, limit: CANDLES, ...more });

const loadCandles = async () => {
  const { chosen } = intervals;
  const found = await klines();
  if (chosen === intervals.chosen) candleChart.begin(found);
};

const loadAll = async () => {
  hasLoaded = false;
  const [, trades, , all] = await Promise.all([
    follower.begin(),
    api.get("trades", { symbol, limit: TRADES }),
    loadCandles(),
    api.get("ticker/24hr"),
  ]);
  tape.begin(trades);
  tickers.begin(all);
  hasLoaded = true;
  stream.isSteady();
  show();
};

// While the engine is away nothing is asked for: it would be refused.
let loading = null;
const load = () => {
  if (loading || hasLoaded || !stream.isOpen || !isEngineThere) return;
  loading = loadAll()
    .catch(loadLater)
    .finally(() => {
      loading = null;
    });
};
const loadLater = () => {
  hasLoaded = false;
  setTimeout(load, LOAD_AGAIN_MS);
  show();
};

const show = () => {
  const isLive = stream.isOpen && hasLoaded && follower.isLevel;
  if (isEngineThere && isLive) hasBeenLive = true;
  const waiting = hasBeenLive || isEngineThere === null ? State.RECONNECTING : State.CONNECTING;
  if (isEngineThere === false) showState(State.ENGINE_AWAY);
  else showState(isEngineThere && isLive ? State.LIVE : waiting);
};

const receivers = new Map([
  [`${lower}@depth@100ms`, (update) => follower.receive(update) || loadLater()],
  [
    `${lower}@trade`,
    (trade) => {
      tape.add(trade);
      tickers.showLast(trade.p);
    },
  ],
  ["!ticker@arr", (events) => tickers.receive(events)],
  ...INTERVALS.map((interval) => [
    `${lower}@kline_${interval}`,
    (event) => {
      if (interval === intervals.chosen && hasLoaded && !candleChart.receive(event.k)) loadCandles().catch(loadLater);
    },
  ]),
]);

const stream = new Stream([...receivers.keys()], {
  opened: load,
  received: (name, data) => receivers.get(name)?.(data),
  closed: () => {
    hasLoaded = false;
    follower.end();
    show();
  },
});

// The state is asked for again and again, because streams are silent while the engine is away.
const askState = async () => {
  try {
    const { isReady, status } = await api.state(market.name);
    isEngineThere = isReady;
    showHalt(status);
  } catch {
    isEngineThere = null;
  }
  load();
  show();
  setTimeout(askState, ASK_STATE_MS);
};

stream.open();
askState();
