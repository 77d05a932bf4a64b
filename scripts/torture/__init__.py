"""Runs the real processes under load, injects faults at random times, then checks everything.

python -m scripts.torture [--kills N] [--seed N] [--minutes M] [--rate N] [--spare S] [--json FILE] [--keep]
"""
