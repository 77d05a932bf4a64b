"""The digest of a request: SHA-256 over what was asked, so that a later change of the row is found before sending."""

import json
from hashlib import sha256

from back_office.models import ActionRequest

FORM = "request-1"
"""First element of the array. Another form of the array gets another name."""

COVERED = (
    *("form", "kind", "parameters", "preview", "reason", "asked_by", "asked_by_key", "asked_at_ns", "needs_approval"),
)


def digest(request: ActionRequest) -> str:
    """In hexadecimal."""
    content = [FORM, *(getattr(request, name) for name in COVERED)]
    # A column that somebody has changed can hold a value of any type.
    return sha256(json.dumps(content, separators=(",", ":"), default=repr).encode("ascii")).hexdigest()
