// The REST API of the gateway that serves this page, and the page's own state.

const PATIENCE_MS = 8_000;

// /market/BTC-USD is two steps below the root, whatever a proxy has put before it.
export const root = new URL("../", location.href);

const json = async (address) => {
  const response = await fetch(address, { signal: AbortSignal.timeout(PATIENCE_MS), cache: "no-store" });
  if (!response.ok) throw new Error(`${address.pathname} answered ${response.status}.`);
  return response.json();
};

// GET /api/v3/NAME. Rejects if it is refused or not answered.
export const get = (name, parameters = {}) => {
  const address = new URL(`api/v3/${name}`, root);
  address.search = new URLSearchParams(parameters);
  return json(address);
};

// Whether the gateway is level with the engine, and the instrument's status.
export const state = (name) => json(new URL(`market/${encodeURIComponent(name)}/state`, root));
