"""Every page that an operator sees."""
