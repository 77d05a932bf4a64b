"""Digests of the audit log: SHA-256 over a record and the digest of the record before it.

The exact form is in docs/audit-log.md, so that others can check an export: a JSON array without white space, all
characters above ASCII escaped.
"""

import json
from hashlib import sha256

from back_office.models import DIGEST_LENGTH, AuditRecord

FORM = "audit-1"
"""First element of the array. Another form of the array gets another name."""

FIRST = "0" * DIGEST_LENGTH
"""Stands for the digest before record 1."""

HEAD_KEY = 1
"""Key of the only row of AuditHead."""

HASHED = ("number", "at_ns", "actor", "address", "action", "target", "outcome", "reason", "before", "after")


def digest(previous: str, record: AuditRecord) -> str:
    """In hexadecimal; `previous`: digest of the record before, FIRST for record 1."""
    content = [FORM, previous, *(getattr(record, name) for name in HASHED)]
    # A column that somebody has changed can hold a value of any type, bytes for example.
    return sha256(json.dumps(content, separators=(",", ":"), default=repr).encode("ascii")).hexdigest()
