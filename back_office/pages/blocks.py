"""Pages about blocks: the newest blocks, and the header and trades of one block."""

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from back_office import filters, released
from back_office.filters import BadFilter
from back_office.formats import ReferenceData
from back_office.paging import PAGE_ROWS, Page, page_before
from back_office.rows import BlockRow, TradeRow
from settlement.stores.base import Store, StoredBlock


class BlockPages:
    def __init__(self, store: Store, reference: ReferenceData) -> None:
        self.store = store
        self.reference = reference

    def blocks(self, request: HttpRequest) -> HttpResponse:
        context: dict[str, Any] = {"title": "Blocks", "form": request.GET, "page": Page([])}
        try:
            number = filters.whole_number(request.GET, "number", "Block")
            before = filters.whole_number(request.GET, "before", "Before")
        except BadFilter as refusal:
            return TemplateResponse(
                request, "back_office/blocks.html", {**context, "refusal": str(refusal)}, status=400
            )
        if number is not None:
            return redirect("office:block", number)
        context["page"] = self._page(before)
        return TemplateResponse(request, "back_office/blocks.html", context)

    def block(self, request: HttpRequest, number: int) -> TemplateResponse:
        block = self.store.get_block(number)
        if block is None:
            raise Http404(f"Block {number} has not been settled.")
        appended, projected = self.store.appended(), self.store.projected()
        context = {
            "title": f"Block {number}",
            "is_from_archive": released.is_block(self.store, number),
            "header": BlockRow.of(block),
            "bytes": len(block.data),
            "newest": number == appended.block_number,
            "is_projected": number <= projected.block_number,
            "trades": self._trades(block),
            "shown": PAGE_ROWS,
        }
        return TemplateResponse(request, "back_office/block.html", context)

    def _page(self, before: int | None) -> Page[BlockRow]:
        found = self.store.newest_blocks(PAGE_ROWS + 1, before)
        page = page_before(found, lambda block: block.number, is_first=before is None)
        # Block numbers have no gaps, so the key of the newer page needs no query.
        newer = str(page.rows[0].number + PAGE_ROWS + 1) if page.rows and before is not None else None
        return Page([BlockRow.of(block) for block in page.rows], page.older, newer, page.is_first)

    def _trades(self, block: StoredBlock) -> list[TradeRow]:
        if not block.trade_count:
            return []
        found = self.store.get_trades_by_sequence_range(
            block.first_event_sequence, block.last_event_sequence, PAGE_ROWS, None
        )
        return [TradeRow.of(trade, self.reference) for trade in found]
