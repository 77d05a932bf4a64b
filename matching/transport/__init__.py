"""Messages between processes: sockets and the wire format."""
