"""Notifications: alarms sent by e-mail and webhook, and alarms that are muted for a time."""
