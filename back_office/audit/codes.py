"""Codes of the audit log: what was done, and how it ended. docs/audit-log.md lists them."""

from enum import StrEnum


class Action(StrEnum):
    ACKNOWLEDGE = "alarm.acknowledge"
    RECONCILE = "reconciliation.start"
    REPLAY = "dead_letter.replay"
    EXPORT = "audit_log.export"
    API_KEY_CREATED = "api_key.create"
    API_KEY_REVOKED = "api_key.revoke"
    REFUSED = "access.refused"
    LOGIN = "login"
    LOGIN_FAILED = "login.failed"
    LOGIN_LOCKED = "login.locked"
    LOGOUT = "logout"
    USER_CREATED = "user.created"
    USER_CHANGED = "user.changed"
    USER_DELETED = "user.deleted"
    GROUP_CREATED = "group.created"
    GROUP_CHANGED = "group.changed"
    GROUP_DELETED = "group.deleted"


class Outcome(StrEnum):
    DONE = "done"
    STARTED = "started"
    FAILED = "failed"
    REFUSED = "refused"
