"""API keys of traders: what they are, how they are stored, and how the requests that they sign are verified."""
