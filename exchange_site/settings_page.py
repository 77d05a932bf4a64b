"""docs/settings.md, made from what `exchange_site/settings.py` says of each setting."""

from collections.abc import Iterable
from itertools import groupby

from exchange_site.environment import Description

_HEAD = """# Settings

Every program reads its settings from environment variables when it starts; a variable that is empty counts as not set.
`manage.py check` says which of them cannot work, and no program starts with one that cannot.

```sh
ENABLE_LOCAL_WAL=true WEB_ADDRESS=127.0.0.1:8080 make run
```

This page is made by `manage.py describe_settings` from `exchange_site/settings.py`: change a meaning there.
"""

_COLUMNS = ("setting", "default", "unit", "meaning", "read by")


def page(settings: Iterable[Description]) -> str:
    """As Markdown: a table for each group, in the order in which they are read."""
    tables = [_table(title, list(group)) for title, group in groupby(settings, lambda one: one.group)]
    return "\n".join([_HEAD, *tables])


def _table(title: str, settings: list[Description]) -> str:
    rows = [(f"`{one.name}`", one.default, one.unit, one.meaning, one.read_by) for one in settings]
    lines = [_row(_COLUMNS), _row(["---"] * len(_COLUMNS)), *map(_row, rows)]
    return f"## {title}\n\n" + "\n".join(lines) + "\n"


def _row(cells: Iterable[str]) -> str:
    return "|" + "|".join(f" {cell.replace('|', chr(92) + '|')} " if cell else " " for cell in cells) + "|"
