"""Public market data as WebSocket streams."""
