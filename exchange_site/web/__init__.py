"""What the web server process adds to Django: its first step, and limits of connections and requests."""
