"""The server of the gateway: HTTP and WebSocket on one port, in one event loop."""
