"""What the doctor reports: what is there, and what is wrong, each with the one command that fixes it."""

from typing import Any, NamedTuple

MIGRATE_LAYOUT = "manage.py migrate_layout"
RESTORE = "manage.py restore"
RESTORE_BACKUP = "manage.py restore BACKUP"
"""BACKUP: a folder that `manage.py backup` has written."""
QUARANTINE = "manage.py quarantine_block {} --yes"
"""To be formatted with the first block that is wrong."""
NO_COMMAND = ""  # no command of ours fixes it: the sentence says what to do
RUN_SETTLEMENT = "manage.py run_settlement"
RUN_ENGINE = "manage.py run_engine"


class Finding(NamedTuple):
    code: str
    sentence: str
    command: str


class Examination(NamedTuple):
    """The parts by name, each with its facts as JSON values, and the findings in the order to fix them."""

    parts: dict[str, dict[str, Any]]
    findings: list[Finding]

    @property
    def ok(self) -> bool:
        return not self.findings

    def form(self) -> dict[str, Any]:
        """The JSON document of `manage.py doctor --json`."""
        findings = [finding._asdict() for finding in self.findings]
        return {"ok": self.ok, "parts": self.parts, "findings": findings}
