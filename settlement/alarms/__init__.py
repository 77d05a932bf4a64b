"""Alarms: rules, the worker's alarms, and the record of alarms in the database."""
