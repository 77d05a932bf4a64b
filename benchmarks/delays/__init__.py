"""Benchmarks of how one client delays others: floods of messages, and single commands that cause much work."""
