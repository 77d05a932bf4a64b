"""Writes an examination as text for a terminal."""

from collections.abc import Iterator
from typing import Any

from settlement.maintenance.findings import Examination

_WIDTH = 11


def lines_of(examination: Examination) -> Iterator[str]:
    for name, fields in examination.parts.items():
        yield f"{name:<{_WIDTH}} {', '.join(_field(*field) for field in fields.items())}"
    for finding in examination.findings:
        yield ""
        yield f"{finding.code}: {finding.sentence}"
        if finding.command:
            yield f"    {finding.command}"
    yield ""
    count = len(examination.findings)
    yield "In order." if examination.ok else f"{count} {'thing is' if count == 1 else 'things are'} not in order."


def _field(name: str, value: Any) -> str:
    if isinstance(value, dict):
        value = " ".join(f"{key} {one}" for key, one in value.items())
    elif isinstance(value, list):
        value = " ".join(map(str, value))
    elif isinstance(value, bool):
        value = "yes" if value else "no"
    return f"{name.replace('_', ' ')} {'none' if value in (None, '') else value}"
