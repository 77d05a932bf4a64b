"""Pages of figures about the market: a chart, a table, and the same rows as CSV and Parquet."""

import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from typing import Any, BinaryIO, NamedTuple, cast

from django.http import FileResponse, HttpRequest
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import urlencode

from analytics import catalog, results
from analytics.embedded import Answer
from analytics.errors import QueryRefused, QueryTooLarge
from analytics.period import Period
from back_office import filters
from back_office.access.permissions import BALANCES
from back_office.audit import records
from back_office.audit.codes import Action
from back_office.figures import charts
from back_office.figures.tables import FIGURES, MarketFigure, Row
from back_office.filters import BadFilter, Query
from back_office.formats import ReferenceData

SECONDS = 10.0
"""Maximum time of a page's query."""
DEFAULT_DAYS = 7
MAX_ROWS = 5000
_SHOWN_ROWS = 500
_WAIT_S = 2.0
_TYPES = {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}

Ask = Callable[[Any, Period], AbstractContextManager[Answer]]
"""Runs a query of `analytics.catalog.query`; raises QueryTooLarge, QueryRefused, StoreError, the archive's errors."""


class FigureFilter(NamedTuple):
    figure: MarketFigure
    period: Period
    bucket: str
    symbol: str | None

    @classmethod
    def read(cls, query: Query, figures: Sequence[MarketFigure]) -> "FigureFilter":
        """Raises BadFilter, QueryRefused."""
        name = filters.text(query, "figure") or figures[0].name
        figure = next((one for one in figures if one.name == name), None)
        if figure is None:
            raise BadFilter(f"Figure must be one of {', '.join(one.name for one in figures)}.")
        bucket = filters.text(query, "by") or catalog.DEFAULT_BUCKET
        if bucket not in catalog.BUCKETS_NS:
            raise BadFilter(f"By must be one of {', '.join(catalog.BUCKETS_NS)}.")
        first, last = filters.day(query, "from", "From"), filters.day(query, "to", "To")
        default = Period.newest_days(DEFAULT_DAYS)
        period = Period.between(first, last) if first or last else default
        return cls(figure, period, bucket, filters.symbol(query, "symbol", "Instrument"))


class AnalyticsPages:
    def __init__(self, ask: Ask, reference: ReferenceData) -> None:
        self._ask = ask
        self._reference = reference
        self._is_busy = threading.Lock()

    def market(self, request: HttpRequest) -> TemplateResponse:
        return self._page(request, "analytics", [one for one in FIGURES if not one.is_about_accounts])

    def accounts(self, request: HttpRequest) -> TemplateResponse:
        return self._page(request, "analytics_accounts", [one for one in FIGURES if one.is_about_accounts])

    def export_market(self, request: HttpRequest) -> HttpResponseBase:
        return self._export(request, [one for one in FIGURES if not one.is_about_accounts])

    def export_accounts(self, request: HttpRequest) -> HttpResponseBase:
        return self._export(request, [one for one in FIGURES if one.is_about_accounts])

    def _page(self, request: HttpRequest, page: str, figures: Sequence[MarketFigure]) -> TemplateResponse:
        form = {name: filters.text(request.GET, name) for name in ("figure", "from", "to", "by", "symbol")}
        context: dict[str, Any] = {"title": "Analytics", "form": form, "first": form["from"], "last": form["to"]}
        context |= {"buckets": list(catalog.BUCKETS_NS), "instruments": self._reference.registry().instruments}
        context |= {"tabs": _tabs(request, form), "days": DEFAULT_DAYS}
        try:
            wanted = FigureFilter.read(request.GET, figures)
            context |= {"figure": wanted.figure, "bucket": wanted.bucket, "tabs": _tabs(request, form, wanted.figure)}
            context |= self._rows(wanted)
        except (BadFilter, QueryRefused, QueryTooLarge) as refusal:
            context["refusal"] = str(refusal)
            return TemplateResponse(request, "back_office/analytics.html", context, status=400)
        query = {name: value for name, value in form.items() if value}
        context["exports"] = [
            (kind, f"{reverse(f'office:{page}_export')}?{urlencode({**query, 'format': kind})}") for kind in _TYPES
        ]
        return TemplateResponse(request, "back_office/analytics.html", context)

    def _rows(self, wanted: FigureFilter) -> dict[str, Any]:
        """The context of a figure's rows."""
        figure = wanted.figure
        with self._answer(wanted) as answer:
            rows: list[Row] = list(islice(results.rows_of(answer.batches), MAX_ROWS + 1))
            rejected = answer.rows.rejected_blocks
        if len(rows) > MAX_ROWS:
            raise QueryTooLarge(
                f"These days have more than {MAX_ROWS} rows: choose fewer days or a longer time, or export them."
            )
        context: dict[str, Any] = {"note": results.rejected_note(rejected) if rejected else ""}
        context["columns"] = figure.columns
        newest_first = rows[::-1] if figure.has_buckets else rows
        context["rows"] = [
            [(column, column.cell(row, self._reference)) for column in figure.columns]
            for row in newest_first[:_SHOWN_ROWS]
        ]
        context["hidden"] = max(0, len(rows) - _SHOWN_ROWS)
        return context | self._chart(figure, rows)

    def _chart(self, figure: MarketFigure, rows: Sequence[Row]) -> dict[str, Any]:
        if figure.name == "heat_map":
            counts = {(row["weekday"], row["hour"]): row["trades"] for row in rows}
            return {"heat_map": charts.heat_map(counts) if rows else None}
        if not figure.charted or not rows:
            return {}
        symbol = rows[-1]["symbol"] if figure.has_instruments else None
        charted = [row for row in rows if symbol is None or row["symbol"] == symbol]
        return {"chart": charts.bar_chart(figure.points(charted, self._reference)), "charted": symbol}

    def _export(self, request: HttpRequest, figures: Sequence[MarketFigure]) -> HttpResponseBase:
        """All rows of a figure, or of one instrument, in the units of the query."""
        try:
            kind = filters.text(request.GET, "format") or "csv"
            if kind not in _TYPES:
                raise BadFilter(f"Format must be one of {', '.join(_TYPES)}.")
            wanted = FigureFilter.read(request.GET, figures)
            file = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115  # FileResponse closes it
            with self._answer(wanted) as answer:
                (results.write_csv if kind == "csv" else results.write_parquet)(answer, file)
        except (BadFilter, QueryRefused, QueryTooLarge) as refusal:
            context = {"title": "Analytics", "tabs": _tabs(request, {}), "refusal": str(refusal)}
            return TemplateResponse(request, "back_office/analytics.html", context, status=400)
        file.seek(0)
        records.append(Action.LIST_EXPORT, target=f"list:{wanted.figure.name}", after=request.GET.dict())
        return FileResponse(
            file, as_attachment=True, filename=f"{wanted.figure.name}.{kind}", content_type=_TYPES[kind]
        )

    @contextmanager
    def _answer(self, wanted: FigureFilter) -> Iterator[Answer]:
        """One query at a time: each may use all the memory that queries have. Raises QueryTooLarge."""
        if not self._is_busy.acquire(timeout=_WAIT_S):
            raise QueryTooLarge("Another query of these pages is running: try again in a moment.")
        try:
            tree = catalog.query(wanted.figure.name, wanted.period, bucket=wanted.bucket)
            with self._ask(tree, wanted.period) as answer:
                is_one = wanted.symbol is not None and wanted.figure.has_instruments
                yield results.of_instrument(answer, str(wanted.symbol)) if is_one else answer
        finally:
            self._is_busy.release()


def _tabs(request: HttpRequest, form: dict[str, str], active: MarketFigure | None = None) -> list[dict[str, Any]]:
    """One for each figure that the user may see, with the same days."""
    kept = {name: form[name] for name in ("from", "to", "by", "symbol") if form.get(name)}
    tabs = []
    for figure in FIGURES:
        name = "analytics_accounts" if figure.is_about_accounts else "analytics"
        if figure.is_about_accounts and not request.user.has_perm(BALANCES):
            continue
        link = f"{reverse(f'office:{name}')}?{urlencode({'figure': figure.name, **kept})}"
        tabs.append({"title": figure.title, "link": link, "active": active is figure})
    return tabs
