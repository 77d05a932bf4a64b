"""Planted defects, which show that the simulator finds what it is there to find."""
