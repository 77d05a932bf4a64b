"""Blocks from engines: feeds, replicas, the chain's end, gaps, who leads."""
