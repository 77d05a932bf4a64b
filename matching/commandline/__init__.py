"""Shared by the management commands: engine addresses, interruption by signals, progress bars, numeric options."""
