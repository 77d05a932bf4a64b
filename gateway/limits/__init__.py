"""Limits of what one client may ask for: weight of requests by address, unfilled orders by account."""
