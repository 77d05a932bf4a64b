"""The words that the fields of commands may hold."""

SIDES = ("buy", "sell")
LIMIT_TYPES = ("limit", "stop_loss_limit", "take_profit_limit")  # those with a price
TRIGGER_TYPES = ("stop_loss", "stop_loss_limit", "take_profit", "take_profit_limit")
ORDER_TYPES = ("limit", "market", *TRIGGER_TYPES)
TIMES_IN_FORCE = ("gtc", "ioc", "fok")
SELF_TRADE_MODES = ("none", "expire_taker", "expire_maker", "expire_both")
STATUSES = ("trading", "cancel_only", "halted")
ACCOUNT_STATUSES = ("active", "no_trading", "frozen")
