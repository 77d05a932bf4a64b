"""What management commands share: engine addresses and interruption."""
