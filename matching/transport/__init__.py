"""Messages between processes: sockets and wire format."""
