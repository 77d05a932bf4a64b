"""Checks the audit log: numbers without gaps, every digest, and the head.

Finds any change, deletion, insertion and reordering of records, and a cut end. Whoever can write to the database can
also compute all digests anew; that is found only with a digest that was noted elsewhere (`noted`).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from back_office.audit import chain
from back_office.models import AuditHead, AuditRecord

CHUNK_ROWS = 2_000
MAX_FINDINGS = 100
"""Findings that are kept; more are counted."""


class Noted(NamedTuple):
    """Number and digest of a record, as the log of events or an earlier check has shown them."""

    number: int
    digest: str


EMPTY = Noted(0, chain.FIRST)
"""The head of a log without records."""


@dataclass(slots=True)
class Report:
    records: int = 0
    head: Noted = EMPTY
    findings: list[str] = field(default_factory=list)
    finding_count: int = 0

    @property
    def ok(self) -> bool:
        return not self.finding_count

    def add(self, finding: str) -> None:
        self.finding_count += 1
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(finding)


def verify(noted: list[Noted]) -> Report:
    """Reads the whole log. Records that are appended meanwhile are left to the next check."""
    report = Report()
    report.head = _head()
    digests = dict.fromkeys((one.number for one in noted), "")
    last = _verify_records(report, digests)
    if last != report.head:
        report.add(
            f"The log ends with record {last.number} ({last.digest}), but its head says record {report.head.number} "
            f"({report.head.digest}): records were cut off or added at the end, or the head was changed."
        )
    _verify_end(report)
    for number, digest in noted:
        if digests[number] != digest:
            report.add(
                f"Record {number} has the digest {digests[number] or '(none)'}, not {digest} as it was noted: the log "
                "was written anew."
            )
    return report


def _verify_records(report: Report, digests: dict[int, str]) -> Noted:
    """Checks the records up to the head, and fills in the wanted `digests`. Returns the last of them."""
    last = EMPTY
    for record in _records_up_to(report.head.number):
        report.records += 1
        if record.number > last.number + 1:
            report.add(f"Records {last.number + 1} to {record.number - 1} are missing.")
        elif record.number <= last.number:
            report.add(f"Record {record.number} was inserted: the first record has the number 1.")
        if record.digest != chain.digest(last.digest, record):
            report.add(f"Record {record.number} was changed, or the record before it was.")
        if record.number in digests:
            digests[record.number] = record.digest
        last = Noted(record.number, record.digest)
    return last


def _records_up_to(end: int) -> Iterator[AuditRecord]:
    after: int | None = None
    while True:
        found = AuditRecord.objects.filter(number__lte=end).order_by("number")
        chunk = list((found if after is None else found.filter(number__gt=after))[:CHUNK_ROWS])
        yield from chunk
        if len(chunk) < CHUNK_ROWS:
            return
        after = chunk[-1].number


def _verify_end(report: Report) -> None:
    """No record is after the head. The head is read last, because it may advance in the meantime."""
    newest = AuditRecord.objects.order_by("-number").values_list("number", flat=True).first()
    head = _head().number
    if newest is not None and newest > head:
        report.add(f"The head says that record {head} is the last one, but there are records up to {newest}.")


def _head() -> Noted:
    """The head as it is stored; record 0 if there is none, or if it holds no number."""
    head = AuditHead.objects.filter(id=chain.HEAD_KEY).first()
    if head is None or not isinstance(head.number, int):
        return EMPTY
    return Noted(head.number, head.digest)
