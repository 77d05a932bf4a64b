"""The search field in the page header, for whatever a customer may quote.

It finds records by number (`19416` or `#19416`), an account's orders by client order id (`7:my-order`), its deposits
and withdrawals by reference (`7:tx-1`), the trades of an instrument by its symbol, accounts by the name or the external
id of their owner, and blocks by their hash, 16 hexadecimal digits, or by the chain digest of a signed checkpoint, 64.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse

from back_office.access.permissions import BALANCES, BLOCKS, ORDERS, TRADES, User, missing, refusal
from back_office.customers import search
from back_office.formats import ReferenceData
from back_office.models import Customer
from matching.core.decimals import INT64_MAX
from matching.core.hashes import hash_value
from settlement.stores.base import Store
from settlement.stores.block_headers import blocks_of_digest

_NUMBER = re.compile(r"#?([0-9]{1,19})", re.ASCII)
_NAMED = re.compile(r"#?([0-9]{1,19})\s*:\s*(\S.*)", re.ASCII)
_HASH = re.compile(r"#?([0-9a-fA-F]{16})", re.ASCII)
_DIGEST = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
LISTED_ORDERS = 20
"""An account can use a client order id again and again; the newest of these orders are listed."""
_NEEDED = {"trade": TRADES, "order": ORDERS, "account": BALANCES, "block": BLOCKS}
_ADVICE = (
    "Type the number of a trade, an order, an account or a block, an account with a client order id such as 7:my-order"
    " or with the reference of a deposit or withdrawal, an instrument such as BTC-USD, the hash of a block, the"
    " chain digest of a signed checkpoint, or the name or external id of a customer."
)


class JumpPages:
    def __init__(self, store: Store, reference: ReferenceData) -> None:
        self.store = store
        self.reference = reference

    def jump(self, request: HttpRequest) -> HttpResponse:
        """Redirects to the only match; shows a list if there are several. Finds only what the user may see."""
        if len(lacking := missing(request.user, _NEEDED.values())) == len(_NEEDED):
            raise PermissionDenied(refusal("search", lacking))
        term = request.GET.get("q", "").strip()
        context: dict[str, Any] = {"title": "Find", "term": term[:40]}
        places, nothing = None, ""
        if (quoted := _NUMBER.fullmatch(term)) and (number := int(quoted[1])) <= INT64_MAX:
            places = [
                *self._numbered(number, request.user),
                *self._hashed(term, request.user),
                *_places(search.with_external_id(term), request.user),
            ]
            nothing = f"No settled trade, order, account or block has the number {number}."
        elif (quoted := _NAMED.fullmatch(term)) and (account := int(quoted[1])) <= INT64_MAX:
            places = list(self._named(account, quoted[2], request.user))
            nothing = (
                f"Account {account} has no settled order with the client order id {quoted[2][:40]}, and no deposit or "
                "withdrawal with that reference."
            )
        elif _HASH.fullmatch(term) and not self._is_symbol(term):
            places = [*self._hashed(term, request.user), *_places(search.find(term), request.user)]
            nothing = f"No settled block has the hash {term.lower()}, and no customer has this name or external id."
        elif _DIGEST.fullmatch(term):
            places = [*self._digested(term, request.user), *_places(search.find(term), request.user)]
            nothing = (
                f"No signed checkpoint of a settled block has the chain digest {term.lower()}, and no customer has "
                "this external id."
            )
        elif not self._is_symbol(term) and (found := list(_places(search.find(term), request.user))):
            places = found
        if places is not None:
            if len(places) == 1:
                return redirect(places[0]["link"])
            return TemplateResponse(request, "back_office/jump.html", {**context, "places": places, "nothing": nothing})
        if self._is_symbol(term):
            return redirect(f"{reverse('office:trades')}?symbol={term.upper()}")
        return TemplateResponse(request, "back_office/jump.html", {**context, "refusal": _ADVICE}, status=400)

    def _is_symbol(self, term: str) -> bool:
        return 0 < len(term) <= 32 and self.reference.instrument(term.upper()) is not None

    def _numbered(self, number: int, user: User) -> Iterator[dict[str, str]]:
        """Records with this number. Trades, orders, accounts and blocks are numbered separately: up to four match."""
        searches: dict[str, Callable[[], object]] = {
            "trade": lambda: self.store.get_trade_by_id(number),
            "order": lambda: self.store.get_orders([number]),
            "account": lambda: self.store.balances_of(number),
            "block": lambda: self._has_block(number),
        }
        for name, find in searches.items():
            if user.has_perm(_NEEDED[name]) and find():
                yield {"title": f"{name.capitalize()} {number}", "link": reverse(f"office:{name}", args=[number])}

    def _hashed(self, term: str, user: User) -> Iterator[dict[str, str]]:
        """The blocks with this hash. It can consist of decimal digits alone, and then is also a number."""
        quoted = _HASH.fullmatch(term)
        if quoted and user.has_perm(BLOCKS):
            for block in self.store.blocks_of_hash(hash_value(quoted[1].lower())):
                yield {"title": f"Block {block.number}", "link": reverse("office:block", args=[block.number])}

    def _digested(self, term: str, user: User) -> Iterator[dict[str, str]]:
        if user.has_perm(BLOCKS):
            for block in blocks_of_digest(self.store, term.lower()):
                yield {"title": f"Block {block.number}", "link": reverse("office:block", args=[block.number])}

    def _named(self, account: int, name: str, user: User) -> Iterator[dict[str, str]]:
        """The account's orders with this client order id and its transfers with this reference, newest first."""
        if not user.has_perm(ORDERS) and not user.has_perm(BALANCES):
            raise PermissionDenied(refusal("search for orders", [ORDERS]))
        if user.has_perm(ORDERS):
            for order in self.store.get_orders_by_client_order_id(account, name, LISTED_ORDERS):
                title = f"Order {order.order_id}, {order.symbol}, {order.status}"
                yield {"title": title, "link": reverse("office:order", args=[order.order_id])}
        if user.has_perm(BALANCES):
            for transfer in self.store.get_transfers_by_reference(account, name):
                title = f"{transfer.kind.capitalize()} of {transfer.asset}, event {transfer.event_sequence}"
                statement = reverse("office:account", args=[account])
                query = urlencode({"asset": transfer.asset, "before": f"{transfer.event_sequence + 1}-0"})
                yield {"title": title, "link": f"{statement}?{query}"}

    def _has_block(self, number: int) -> bool:
        """`get_block` would read the block's data, which may be large; this reads headers only."""
        newest = self.store.newest_blocks(1, min(number + 1, INT64_MAX))
        return any(block.number == number for block in newest)


def _places(found: Iterable[Customer], user: User) -> Iterator[dict[str, str]]:
    """The pages of these customers' accounts, if the user may see accounts."""
    if user.has_perm(BALANCES):
        for one in found:
            title = f"Account {one.account}, {one.name or one.external_id}"
            yield {"title": title, "link": reverse("office:account", args=[one.account])}
