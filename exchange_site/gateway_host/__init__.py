"""What the site lends to a gateway: its settings, its keys, its store."""
