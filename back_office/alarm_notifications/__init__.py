"""Notifications: alarms told by e-mail and webhook, and alarms that are muted for a time."""
