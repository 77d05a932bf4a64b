"""The WebSocket API: the endpoints of the REST API, and user data, over one connection."""
