"""Random commands about orders. Most are valid; each kind of mistake happens now and then."""

from tests.reference.commands import Instrument
from tests.reference.ledger import SUPPLY_LIMIT
from tests.reference.orders import OPPOSITE, RISING, Order
from tests.reference.stream_market import StreamMarket
from tests.reference.stream_templates import Json
from tests.reference.words import SELF_TRADE_MODES, TRIGGER_TYPES

CLIENT_IDS_PER_ACCOUNT = 100


class OrderCommands:
    def __init__(self, market: StreamMarket) -> None:
        self.market = market

    # New orders

    def limit_order(self) -> Json:
        market = self.market
        instrument = market.instrument()
        side = market.random.choice(("buy", "sell"))
        price = market.price(instrument, side)
        lots = market.lots(instrument, price)
        command = self._head(instrument, side, "limit")
        command["price"] = market.write(price, instrument.tick_size)
        command["quantity"] = market.write(lots, instrument.lot_size)
        time_in_force = market.pick((40, None), (35, "gtc"), (12, "ioc"), (13, "fok"))
        if time_in_force is not None:
            command["time_in_force"] = time_in_force
        if time_in_force not in ("ioc", "fok"):
            if market.chance(15):
                command["post_only"] = market.chance(80)
            if market.chance(20):
                visible = self._visible_lots(instrument, lots)
                command["visible_quantity"] = market.write(visible, instrument.lot_size)
        return self._tail(command)

    def _visible_lots(self, instrument: Instrument, lots: int) -> int:
        """Usually a few pieces of an iceberg."""
        usual = max(instrument.min_quantity, lots // (1 + self.market.random.randrange(20)))
        return self.market.pick(
            (90, usual), (2, 0), (2, -1), (2, instrument.min_quantity - 1), (2, lots + 1), (2, max(1, lots // 150))
        )

    def market_order(self) -> Json:
        market = self.market
        instrument = market.instrument()
        side = market.random.choice(("buy", "sell"))
        command = self._head(instrument, side, "market")
        best = market.market(instrument).book.best_price(OPPOSITE[side]) or market.middles[instrument.symbol]
        lots = market.lots(instrument, best)
        if market.chance(60):
            lot_price = best * instrument.quote_unit
            around = market.random.choice((-1, 0, 1, market.random.randrange(max(1, lot_price))))
            usual = lots * lot_price + around
            amount = market.pick((80, usual), (8, lot_price - 1), (4, 0), (4, -1), (4, SUPPLY_LIMIT))
            command["quote_quantity"] = market.write(amount, instrument.quote.unit)
        else:
            command["quantity"] = market.write(lots, instrument.lot_size)
        if market.chance(20):
            command["time_in_force"] = "ioc"
        return self._tail(command)

    def trigger_order(self) -> Json:
        market = self.market
        instrument = market.instrument()
        side, order_type = market.random.choice(("buy", "sell")), market.random.choice(TRIGGER_TYPES)
        trigger = self._trigger_price(instrument, rising=(order_type, side) in RISING)
        command = self._head(instrument, side, order_type)
        command["trigger_price"] = market.write(trigger, instrument.tick_size)
        command["quantity"] = market.write(self._large_lots(instrument, trigger), instrument.lot_size)
        if order_type.endswith("_limit"):
            command["price"] = market.write(self._price_after(instrument, side, trigger), instrument.tick_size)
            time_in_force = market.pick((40, None), (30, "gtc"), (15, "ioc"), (15, "fok"))
        else:
            time_in_force = market.pick((80, None), (20, "ioc"))
        if time_in_force is not None:
            command["time_in_force"] = time_in_force
        return self._tail(command)

    def _large_lots(self, instrument: Instrument, price: int) -> int:
        """Often more than what there is inside a price band."""
        return self.market.lots(instrument, price) * self.market.pick((65, 1), (35, 6))

    def _trigger_price(self, instrument: Instrument, *, rising: bool) -> int:
        """Usually a little beyond the last trade price, so that it waits, but not for long."""
        market = self.market
        last = market.market(instrument).last_price or market.middle(instrument)
        far, near = market.distance(instrument), market.random.randrange(3)
        beyond = market.pick((45, 1 + far), (45, 1 + near), (10, -far))
        usual = last + (beyond if rising else -beyond)
        return market.pick((980, usual), (5, 0), (5, -usual), (5, usual * 10**6), (5, 2**63 - 1))

    def _price_after(self, instrument: Instrument, side: str, trigger: int) -> int:
        """The limit price of an order that is triggered: usually it trades at once, or reaches beyond the band."""
        market = self.market
        band = market.market(instrument).band
        if band is not None and market.chance(60):
            return band[1] + market.distance(instrument) if side == "buy" else band[0] - market.distance(instrument)
        slip = market.distance(instrument) * market.pick((40, 1), (35, 4), (25, -1))
        usual = trigger + slip if side == "buy" else trigger - slip
        return market.pick((985, usual), (5, 0), (5, -usual), (5, usual * 10**6))

    def oco(self) -> Json:
        market = self.market
        instrument = market.instrument()
        side = market.random.choice(("buy", "sell"))
        trigger = self._trigger_price(instrument, rising=side == "buy")
        price = market.price(instrument, side)
        command: Json = {"command": "oco", "account": market.account(), "symbol": instrument.symbol, "side": side}
        command["price"] = market.write(price, instrument.tick_size)
        command["trigger_price"] = market.write(trigger, instrument.tick_size)
        command["quantity"] = market.write(self._large_lots(instrument, max(price, trigger)), instrument.lot_size)
        if market.chance(60):
            command["stop_price"] = market.write(self._price_after(instrument, side, trigger), instrument.tick_size)
            time_in_force = market.pick((50, None), (20, "gtc"), (15, "ioc"), (15, "fok"))
            if time_in_force is not None:
                command["stop_time_in_force"] = time_in_force
        for name in ("stop_client_order_id", "list_client_order_id"):
            if market.chance(40):
                command[name] = self._client_order_id()
        return self._tail(command)

    def _head(self, instrument: Instrument, side: str, order_type: str) -> Json:
        return {
            "command": "order",
            "account": self.market.account(),
            "symbol": instrument.symbol,
            "side": side,
            "order_type": order_type,
        }

    def _tail(self, command: Json) -> Json:
        if self.market.chance(65):
            command["self_trade_prevention"] = self.market.random.choice(SELF_TRADE_MODES)
        if self.market.chance(40):
            command["client_order_id"] = self._client_order_id()
        if self.market.chance(10):
            command["requires_previous"] = self.market.chance(90)
        return command

    def _client_order_id(self) -> str:
        return f"c{self.market.random.randrange(CLIENT_IDS_PER_ACCOUNT)}"

    # Open orders

    def cancel(self) -> Json:
        command = {"command": "cancel", **self._aim(self.market.open_order())}
        return {**command, "request_id": self._client_order_id()} if self.market.chance(20) else command

    def replace(self) -> Json:
        market = self.market
        order = market.open_order()
        instrument = order.instrument if order is not None else market.instrument()
        price = market.price(instrument, order.side if order is not None else "buy")
        lots = market.lots(instrument, price)
        if order is not None and order.price is not None and market.chance(50):
            price = order.price
        if order is not None and market.chance(60):
            smaller = 1 + market.random.randrange(order.open_lots)
            lots = market.random.choice((order.open_lots, smaller, order.open_lots + 1))
        command = {"command": "replace", **self._aim(order), "price": market.write(price, instrument.tick_size)}
        if order is not None and market.chance(25):
            total = market.pick((90, order.traded_lots + lots), (10, order.traded_lots))
            command["total_quantity"] = market.write(total, instrument.lot_size)
        else:
            command["quantity"] = market.write(lots, instrument.lot_size)
        if market.chance(20):
            command["new_client_order_id"] = self._client_order_id()
        return command

    def _aim(self, order: Order | None) -> Json:
        """Usually a correct reference to an order; sometimes another account or instrument, or a closed order."""
        market = self.market
        if order is None or market.chance(8):
            gone = 1 + market.random.randrange(market.exchange.command_count + 10)
            symbol = market.instrument().symbol
            return {"account": market.random.choice(market.accounts), "symbol": symbol, "order_id": gone}
        account = market.random.choice(market.accounts) if market.chance(4) else order.account
        symbol = market.instrument().symbol if market.chance(4) else order.instrument.symbol
        head: Json = {"account": account, "symbol": symbol}
        if order.client_order_id is not None and market.chance(60):
            return {**head, "client_order_id": order.client_order_id}
        return {**head, "order_id": order.order_id}

    def cancel_all(self) -> Json:
        command: Json = {"command": "cancel_all", "account": self.market.random.choice(self.market.accounts)}
        if self.market.chance(60):
            command["symbol"] = self.market.instrument().symbol
        return command
