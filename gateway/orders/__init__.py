"""Orders of traders: the connection to the engine, and the endpoints that place, change, cancel and list orders."""
