"""The real processes under load, killed, stopped and cut at random moments; then everything is checked.

python -m scripts.torture [--kills N] [--seed N] [--minutes M] [--rate N] [--json FILE] [--keep]
"""
