"""What management commands share: engine addresses, interruption, options that are numbers."""
