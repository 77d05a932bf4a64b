"""Metrics of notifications. Only the web process imports this module."""

from prometheus_client import Counter, Gauge

WAITING = Gauge(
    "alarm_notifications_waiting", "Notifications of alarms that a channel has not accepted yet.", ["channel"]
)
FAILURES = Counter(
    "alarm_notification_failures_total", "Attempts to send a notification of an alarm that failed.", ["channel"]
)
