"""Reads the commands about orders; fields in the order of docs/semantics.md, section 4."""

from tests.reference.commands import Cancel, CancelAll, Command, Instrument, PlaceOco, PlaceOrder, Replace
from tests.reference.fields import Fields, Refused
from tests.reference.words import LIMIT_TYPES, ORDER_TYPES, SIDES, TIMES_IN_FORCE, TRIGGER_TYPES


def read_order(fields: Fields) -> Command:
    account, instrument = fields.account(), fields.instrument()
    side = fields.choice("side", SIDES, "invalid_side")
    order_type = fields.choice("order_type", ORDER_TYPES, "invalid_order_type")
    time_in_force, post_only = _read_time_in_force(fields, order_type)
    self_trade_prevention = fields.self_trade_prevention()
    client_order_id = fields.optional_id("client_order_id")
    requires_previous = fields.flag("requires_previous")
    by_quote = _read_is_by_quote(fields, order_type)
    price = _read_price(fields, "price", instrument, allowed=order_type in LIMIT_TYPES)
    trigger_price = _read_price(fields, "trigger_price", instrument, allowed=order_type in TRIGGER_TYPES)
    quantity = None if by_quote else fields.steps("quantity", instrument.lot_size, "invalid_quantity")
    quote_quantity = fields.steps("quote_quantity", instrument.quote.unit, "invalid_quantity") if by_quote else None
    rests = order_type == "limit" and time_in_force == "gtc"
    return PlaceOrder(
        account=account,
        instrument=instrument,
        side=side,
        order_type=order_type,
        price=price,
        trigger_price=trigger_price,
        quantity=quantity,
        quote_quantity=quote_quantity,
        visible_quantity=_read_visible_quantity(fields, instrument, allowed=rests),
        time_in_force=time_in_force,
        post_only=post_only,
        self_trade_prevention=self_trade_prevention,
        client_order_id=client_order_id,
        requires_previous=requires_previous,
    )


def _read_time_in_force(fields: Fields, order_type: str) -> tuple[str, bool]:
    """(time_in_force, post_only)"""
    has_price = order_type in LIMIT_TYPES
    time_in_force = "gtc" if has_price else "ioc"
    if fields.given("time_in_force"):
        allowed = TIMES_IN_FORCE if has_price else ("ioc",)
        time_in_force = fields.choice("time_in_force", allowed, "invalid_time_in_force")
    post_only = fields.flag("post_only")
    if post_only and (order_type != "limit" or time_in_force != "gtc"):
        raise Refused("invalid_time_in_force")
    return time_in_force, post_only


def _read_is_by_quote(fields: Fields, order_type: str) -> bool:
    if not fields.given("quote_quantity"):
        return False
    if order_type != "market" or fields.given("quantity"):
        raise Refused("invalid_quantity")
    return True


def _read_price(fields: Fields, name: str, instrument: Instrument, *, allowed: bool) -> int | None:
    """A price in ticks, required where it is allowed."""
    if allowed:
        return fields.steps(name, instrument.tick_size, "invalid_price")
    if fields.given(name):
        raise Refused("invalid_price")
    return None


def _read_visible_quantity(fields: Fields, instrument: Instrument, *, allowed: bool) -> int | None:
    if not fields.given("visible_quantity"):
        return None
    if not allowed:
        raise Refused("invalid_quantity")
    return fields.steps("visible_quantity", instrument.lot_size, "invalid_quantity")


def read_oco(fields: Fields) -> Command:
    account, instrument = fields.account(), fields.instrument()
    side = fields.choice("side", SIDES, "invalid_side")
    has_stop_price = fields.given("stop_price")
    stop_time_in_force = "gtc" if has_stop_price else "ioc"
    if fields.given("stop_time_in_force"):
        allowed = TIMES_IN_FORCE if has_stop_price else ()
        stop_time_in_force = fields.choice("stop_time_in_force", allowed, "invalid_time_in_force")
    self_trade_prevention = fields.self_trade_prevention()
    client_order_id = fields.optional_id("client_order_id")
    stop_client_order_id = fields.optional_id("stop_client_order_id")
    fields.optional_id("list_client_order_id")  # must be well-formed, as it goes into the block; means nothing here
    return PlaceOco(
        account=account,
        instrument=instrument,
        side=side,
        stop_time_in_force=stop_time_in_force,
        self_trade_prevention=self_trade_prevention,
        client_order_id=client_order_id,
        stop_client_order_id=stop_client_order_id,
        requires_previous=fields.flag("requires_previous"),
        price=fields.steps("price", instrument.tick_size, "invalid_price"),
        trigger_price=fields.steps("trigger_price", instrument.tick_size, "invalid_price"),
        stop_price=fields.steps("stop_price", instrument.tick_size, "invalid_price") if has_stop_price else None,
        quantity=fields.steps("quantity", instrument.lot_size, "invalid_quantity"),
    )


def read_cancel(fields: Fields) -> Command:
    account, instrument = fields.account(), fields.instrument()
    order_id, client_order_id = fields.order_name()
    fields.optional_id("request_id")  # must be well-formed, as it goes into the block; means nothing here
    return Cancel(account, instrument.symbol, order_id, client_order_id)


def read_cancel_all(fields: Fields) -> Command:
    account = fields.account()
    return CancelAll(account, fields.instrument().symbol if fields.given("symbol") else None)


def read_replace(fields: Fields) -> Command:
    account, instrument = fields.account(), fields.instrument()
    order_id, client_order_id = fields.order_name()
    new_client_order_id = fields.optional_id("new_client_order_id")
    price = fields.steps("price", instrument.tick_size, "invalid_price")
    is_total = fields.given("total_quantity")
    if is_total and fields.given("quantity"):
        raise Refused("invalid_quantity")
    return Replace(
        account=account,
        symbol=instrument.symbol,
        order_id=order_id,
        client_order_id=client_order_id,
        price=price,
        quantity=fields.steps("total_quantity" if is_total else "quantity", instrument.lot_size, "invalid_quantity"),
        is_total=is_total,
        new_client_order_id=new_client_order_id,
    )
