// What the reader has to know before the prices: whether they are live, and whether the market is halted.

import { element, market } from "./market.js";

const HALTS = {
  HALT: "Halted: no orders, no trades",
  CANCEL_ONLY: "Cancel only: no new orders",
};

export const State = {
  CONNECTING: "connecting",
  LIVE: "live",
  RECONNECTING: "reconnecting",
  ENGINE_AWAY: "engine away",
};

export const showState = (state) => {
  const shown = element("state");
  if (shown.dataset.state === state) return;
  shown.dataset.state = state;
  shown.textContent = state;
  document.body.classList.toggle("stale", state === State.RECONNECTING || state === State.ENGINE_AWAY);
};

export const showHalt = (status) => {
  const halt = element("halt");
  const text = HALTS[status] ?? "";
  if (halt.textContent !== text) halt.textContent = text;
  halt.hidden = !text;
};

showHalt(market.status);
