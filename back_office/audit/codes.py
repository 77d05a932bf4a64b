"""Codes of the audit log: what was done, and how it ended. docs/audit-log.md lists them."""

from enum import StrEnum


class Action(StrEnum):
    ACKNOWLEDGE = "alarm.acknowledge"
    MUTE = "alarm.mute"
    UNMUTE = "alarm.unmute"
    TEST_NOTIFICATION = "alarm.test_notification"
    RECONCILE = "reconciliation.start"
    REPLAY = "dead_letter.replay"
    DESCRIBE = "account.describe"
    ASK = "request.ask"
    APPROVE = "request.approve"
    REFUSE = "request.refuse"
    WITHDRAW = "request.withdraw"
    CARRY_OUT = "request.carry_out"
    EXPORT = "audit_log.export"
    LIST_EXPORT = "list.export"
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
