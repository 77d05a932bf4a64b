"""What goes wrong with a server or its programs."""


class ServiceError(Exception):
    """One sentence: what is wrong, and what to do."""
