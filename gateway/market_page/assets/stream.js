// One WebSocket connection to the public streams that is opened again whenever it ends.

import { root } from "./api.js";

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15_000;
const PROOF_MS = 10_000;

export class Stream {
  // `handlers`: opened(), received(stream, data), closed().
  constructor(names, handlers) {
    this.address = new URL("stream", root);
    this.address.protocol = root.protocol === "https:" ? "wss:" : "ws:";
    this.address.search = `streams=${names.join("/")}`;
    this.handlers = handlers;
    this.pauseMs = FIRST_PAUSE_MS;
  }

  get isOpen() {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  open() {
    const socket = new WebSocket(this.address);
    this.socket = socket;
    socket.onopen = () => {
      this.askForProof();
      this.handlers.opened();
    };
    socket.onmessage = (message) => {
      this.isProved = true;
      const { stream, data } = JSON.parse(message.data);
      if (stream) this.handlers.received(stream, data);
    };
    socket.onclose = () => {
      if (this.socket === socket) this.end();
    };
  }

  end() {
    const { socket } = this;
    this.socket = null;
    clearTimeout(this.proof);
    socket.close();
    this.handlers.closed();
    this.openLater();
  }

  // A quiet market and a dead connection look alike, so something is asked for that is always answered.
  askForProof() {
    this.isProved = false;
    this.socket.send('{"method":"LIST_SUBSCRIPTIONS","id":1}');
    this.proof = setTimeout(() => (this.isProved ? this.askForProof() : this.end()), PROOF_MS);
  }

  // Pauses grow, and differ between browsers, so that a gateway that returns is not met by all of them at once.
  openLater() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.open(), this.pauseMs * (0.5 + Math.random() / 2));
    this.pauseMs = Math.min(2 * this.pauseMs, LONGEST_PAUSE_MS);
  }

  // The connection has proved to work: the next pause is the shortest again.
  isSteady() {
    this.pauseMs = FIRST_PAUSE_MS;
  }
}
