"""The reference: the exchange once more, written from docs/semantics.md, slow and simple, to compare the fast one with.

`run_lines` is the way in. An order passes `edge` (`fields`), `engine`, `admission`, `placing`, `matching` and
`triggers`; `state` holds what there is. `streams` makes random commands, `invariants` checks what always holds.
"""

from tests.reference.run import run_lines

__all__ = ["run_lines"]
