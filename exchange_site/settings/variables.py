"""Reads the environment, for all modules of settings. Problems and descriptions are kept in the order of reading."""

from exchange_site.configuration.environment import Environment

env = Environment()
