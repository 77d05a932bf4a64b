"""The only definition of every binary record: little-endian, named padding, asserted sizes.

Units: prices in ticks, quantities in lots, amounts in the asset's smallest unit, times in nanoseconds since the Unix
epoch (UTC). Identifiers of assets and instruments are indexes into the registry, from 0. `text` fields refer to the
strings section of a batch or block. Changing a record requires a new LAYOUT_VERSION and a page in docs/decisions/.
"""

import numpy as np

LAYOUT_VERSION = 3

BLOCK_MAGIC = 0x4B4C4258  # b"XBLK" read as a little-endian integer
BATCH_MAGIC = 0x48435442  # b"BTCH"

BLOCK_HEADER = np.dtype(
    [
        ("magic", "<u4"),
        ("layout_version", "<u4"),
        ("shard", "<u4"),
        ("epoch", "<u4"),
        ("number", "<i8"),  # 1, 2, 3, …
        ("timestamp_ns", "<i8"),  # never less than the previous block's
        ("first_command_sequence", "<i8"),
        ("first_event_sequence", "<i8"),
        ("request_count", "<u4"),
        ("command_count", "<u4"),
        ("event_count", "<u4"),
        ("text_size", "<u4"),  # bytes, a multiple of 8 (zero padded)
        ("prev_hash", "<u8"),  # 0 for block 1
        ("hash", "<u8"),  # xxh3_64 of the block's bytes with this field zeroed
    ]
)
assert BLOCK_HEADER.itemsize == 80

# Consecutive commands of one batch. The commands of a block belong to its requests in order. A batch that is cut over
# several blocks has a request in each of them, with the same digest.
REQUEST = np.dtype(
    [
        ("client", "<u8"),  # 0: sent without a request id
        ("first_number", "<u8"),  # the client's number of the first command; numbers increase by one
        ("owner", "<u8"),  # xxh3_64 of the 32 bytes of the sender's public key; 0: a socket without keys
        ("digest", "<u8"),  # xxh3_64 of the whole batch's commands and strings, as the client sent them
        ("command_count", "<u4"),
        ("batch_offset", "<u4"),  # index of the first command in its batch
    ]
)
assert REQUEST.itemsize == 40

COMMAND = np.dtype(
    [
        ("kind", "u1"),  # CommandKind
        ("side", "u1"),  # Side
        ("order_type", "u1"),  # OrderType
        ("time_in_force", "u1"),  # TimeInForce
        ("self_trade_prevention", "u1"),  # SelfTradePrevention
        ("flags", "u1"),  # CommandFlag bits; of an instrument_update: InstrumentValue bits
        ("text_length", "<u2"),  # bytes
        ("instrument", "<u4"),  # instrument; asset of a deposit or withdrawal; NONE_ID
        ("text_offset", "<u4"),  # bytes into the strings section
        ("account", "<i8"),
        ("price", "<i8"),  # ticks; 0 for a type without a price
        ("quantity", "<i8"),  # lots; 0 for an order by quote_quantity
        ("amount", "<i8"),  # see the table below
        ("order_id", "<i8"),  # of a cancel or replace; 0: identified by client order id
        ("text_hash", "<u8"),  # xxh3_64 of the first string of the command; 0: none
    ]
)
assert COMMAND.itemsize == 64
# `amount` by kind: order: the quote_quantity of a market order, the visible_quantity of a limit order (-1: given as
# 0), the trigger_price of the other types; 0: none. deposit, withdraw: the amount. oco: 0. oco_stop: the trigger_price.
# replace: xxh3_64 of the new client order id, with NEW_NAME.
#
# oco, then oco_stop: the limit leg and the stop leg of one one-cancels-other, next to each other and with the same
# account, instrument, side, quantity and self_trade_prevention. The first one's sequence is the order_list_id.
#
# account_status: `side` is the AccountStatus. account_fees: `instrument` or NONE_ID; `price` is the maker_fee,
# `quantity` the taker_fee, in ppm; both -1: removed. instrument_update: `account` is maker_fee | taker_fee << 32,
# `price` is price_band | max_open_orders << 32; `quantity` and `amount` are min_quantity and max_quantity in lots,
# `order_id` is the min_notional in quote units; 0 where it does not change.
#
# The string of a command: the client order id (of a cancel or replace: that of the order it names), the reference, or
# the definition. A cancel (request_id), a replace (new_client_order_id) and an oco (list_client_order_id) can have a
# second string, after a separator (`texts.SEPARATOR`). `text_length` counts both and the separator.

EVENT = np.dtype(
    [
        ("sequence", "<i8"),  # 1, 2, 3, … without gaps; the trade_id of a trade
        ("command_sequence", "<i8"),
        ("kind", "u1"),  # EventKind
        ("side", "u1"),  # Side of the order; of the taker in a trade
        ("reason", "u1"),  # Reason
        ("flags", "u1"),  # EventFlag bits
        ("instrument", "<u4"),  # as in COMMAND
        ("order_id", "<i8"),  # the taker's in a trade
        ("account", "<i8"),  # the taker's in a trade
        ("other_order_id", "<i8"),  # the maker's in a trade
        ("other_account", "<i8"),  # the maker's in a trade
        ("price", "<i8"),  # ticks
        ("quantity", "<i8"),  # lots: traded, ordered, or remaining; orders_cancelled: the count
        ("amount", "<i8"),  # see the table below
        ("buyer_fee", "<i8"),  # base units, trade only
        ("seller_fee", "<i8"),  # quote units, trade only
        ("trade_number", "<i8"),  # 1, 2, 3, … within the instrument, trade only
    ]
)
assert EVENT.itemsize == 104
# `amount` by kind: order_accepted: locked, quote or base units; trade: released to the buyer from its own price to the
# trade's; order_cancelled: unlocked; order_replaced, order_triggered: change of the lock (may be negative); deposited,
# withdrawn: the amount.
#
# order_cancelled: `quantity` is the remaining lots, with BY_QUOTE the remaining quote units; `other_order_id` is the
# order that was met, with reason self_trade. order_triggered: `price` is the trigger_price. account_status_changed:
# `side` is the AccountStatus. account_fees_changed: `price`, `quantity` are the rates as in the command.

# Message from a client: BATCH, then COMMAND[command_count], then the strings.
BATCH = np.dtype(
    [
        ("magic", "<u4"),
        ("layout_version", "<u4"),
        ("client", "<u8"),  # never 0
        ("first_number", "<u8"),  # number of the first command, from 1; the others increase by one
        ("command_count", "<u4"),
        ("text_size", "<u4"),  # bytes
    ]
)
assert BATCH.itemsize == 32

# Answer to a batch: ANSWER, then segment_count times SEGMENT with its EVENT[event_count].
ANSWER = np.dtype(
    [
        ("client", "<u8"),
        ("first_number", "<u8"),
        ("command_count", "<u4"),
        ("segment_count", "<u4"),
    ]
)
assert ANSWER.itemsize == 24

# The commands of a batch that are in one block, in order.
SEGMENT = np.dtype(
    [
        ("first_number", "<u8"),
        ("block_number", "<i8"),  # 0: applied earlier, and the events are no longer held
        ("first_command_sequence", "<i8"),  # 0: as block_number
        ("command_count", "<u4"),
        ("event_count", "<u4"),
    ]
)
assert SEGMENT.itemsize == 32

# The records below are the engine's memory: pools that the kernel works on. Index 0 of every pool is unused, so that 0
# means "none" in a link. Snapshots contain the pools unchanged.

ORDER = np.dtype(
    [
        ("order_id", "<i8"),  # 0: the slot is free and `next` is the next free slot
        ("remaining", "<i8"),  # open lots, without the hidden lots of an iceberg
        ("filled", "<i8"),  # lots traded so far
        ("text_hash", "<u8"),  # client order id, 0: none
        ("level", "<u4"),  # of the book; of the trigger tree while the order waits
        ("next", "<u4"),  # next newer order of the level, or of the queue of triggered orders
        ("previous", "<u4"),
        ("trader", "<u4"),
        ("account_next", "<u4"),  # open orders of one account, by order_id
        ("account_previous", "<u4"),
        ("side", "u1"),
        ("self_trade_prevention", "u1"),
        ("flags", "u1"),  # CommandFlag.POST_ONLY or 0
        ("padding", "u1"),
        ("extra", "<u4"),  # index into the extras pool; 0: an ordinary order
    ]
)
assert ORDER.itemsize == 64

# What only some open orders have: icebergs, orders that wait for their trigger, legs of a one-cancels-other.
EXTRA = np.dtype(
    [
        ("hidden", "<i8"),  # lots
        ("visible_quantity", "<i8"),  # lots shown at a time; 0: not an iceberg
        ("trigger_price", "<i8"),  # ticks; 0: not a trigger order
        ("price", "<i8"),  # ticks, of an order that waits; 0: a type without a price
        ("held", "<i8"),  # what an order that waits has locked
        ("partner", "<u4"),  # slot of the other leg while it is open; in a free extra: the next free one
        ("order_type", "u1"),  # OrderType
        ("time_in_force", "u1"),  # TimeInForce
        ("state", "u1"),  # of the order: RESTING, WAITING or QUEUED
        ("padding", "u1"),
    ]
)
assert EXTRA.itemsize == 48

RESTING = 0
WAITING = 1
QUEUED = 2

LEVEL = np.dtype(
    [
        ("quantity", "<i8"),  # lots that the orders of this price show; 0 where orders wait for a trigger
        ("head", "<u4"),  # oldest order, 0: the level is empty
        ("tail", "<u4"),
    ]
)
assert LEVEL.itemsize == 16

# 64 consecutive prices: the levels of leaf n are levels[64 * n : 64 * n + 64]. A price holds bids or asks, never both.
LEAF = np.dtype(
    [
        ("bits", "<u8"),  # bit k: level k is not empty
        ("base", "<i8"),  # price of level 0, a multiple of 64
        ("parent", "<u4"),  # node; in a free leaf: the next free leaf
        ("padding", "<u4"),
    ]
)
assert LEAF.itemsize == 24

# Inner node of the radix tree over prices; its 64 children are children[64 * n : 64 * n + 64]: leaves at height 1.
NODE = np.dtype(
    [
        ("bits", "<u8"),
        ("parent", "<u4"),  # 0: this is the root; in a free node: the next free node
        ("padding", "<u4"),
    ]
)
assert NODE.itemsize == 16

# The orders of one instrument that wait for a price to rise or to fall, by trigger price: a radix tree as the book's.
TRIGGER_TREE = np.dtype(
    [
        ("root", "<u4"),  # node; 0: no order has waited here yet
        ("height", "<u4"),
    ]
)
assert TRIGGER_TREE.itemsize == 8

ACCOUNT = np.dtype(
    [
        ("account", "<i8"),
        ("first_order", "<u4"),
        ("last_order", "<u4"),
        ("maker_fee", "<i4"),  # ppm; -1: those of each instrument
        ("taker_fee", "<i4"),
        ("first_trader", "<u4"),
        ("status", "u1"),  # AccountStatus
        ("padding", "u1", (3,)),
    ]
)
assert ACCOUNT.itemsize == 32

# An account in an instrument: everything that an order needs from its account.
TRADER = np.dtype(
    [
        ("account", "<i8"),
        ("owner", "<u4"),  # index into the accounts pool
        ("instrument", "<u4"),
        ("base_balance", "<u4"),  # indexes into the balances pool
        ("quote_balance", "<u4"),
        ("open_orders", "<u4"),
        ("status", "u1"),  # AccountStatus of the account
        ("has_terms", "u1"),  # 1: the fees are in TERMS, 0: they are those of the instrument
        ("padding", "u1", (2,)),
    ]
)
assert TRADER.itemsize == 32

# What is rarely needed of the trader with the same index.
TERMS = np.dtype(
    [
        ("maker_fee", "<i4"),  # ppm, of the account in this instrument; -1: that of the instrument
        ("taker_fee", "<i4"),
        ("next", "<u4"),  # next trader of the account
        ("is_own", "u1"),  # 1: the fees are those of the account in this instrument alone
        ("padding", "u1", (3,)),
    ]
)
assert TERMS.itemsize == 16

BALANCE = np.dtype(
    [
        ("available", "<i8"),
        ("locked", "<i8"),
        ("account", "<i8"),
        ("asset", "<u4"),
        ("padding", "<u4"),
    ]
)
assert BALANCE.itemsize == 32

# The reference of a deposit or withdrawal (`kind`: CommandKind).
REFERENCE = np.dtype(
    [
        ("text_hash", "<u8"),
        ("account", "<i8"),
        ("kind", "<u8"),
    ]
)
assert REFERENCE.itemsize == 24

INSTRUMENT = np.dtype(
    [
        ("best_bid", "<i8"),  # ticks, 0: none
        ("best_ask", "<i8"),  # ticks, NO_ASK: none
        ("best_bid_level", "<u4"),
        ("best_ask_level", "<u4"),
        ("root", "<u4"),  # node
        ("height", "<u4"),  # the root covers prices below 64 ** (height + 1)
        ("quote_unit", "<i8"),  # quote units of one lot at a price of one tick
        ("lot_units", "<i8"),  # base units of one lot
        ("notional_limit", "<i8"),  # AMOUNT_LIMIT // quote_unit
        ("quantity_limit", "<i8"),  # AMOUNT_LIMIT // lot_units
        ("min_quantity", "<i8"),  # lots
        ("max_quantity", "<i8"),
        ("min_notional", "<i8"),  # quote units
        ("maker_fee", "<i4"),  # ppm
        ("taker_fee", "<i4"),
        ("price_band", "<u4"),  # ppm, 0: none
        ("max_open_orders", "<u4"),  # of an account, 0: no limit
        ("base", "<u4"),  # assets
        ("quote", "<u4"),
        ("house_base", "<u4"),  # indexes into the balances pool
        ("house_quote", "<u4"),
        ("status", "<u4"),  # InstrumentStatus
        ("padding", "<u4"),
        ("rise_at", "<i8"),  # lowest trigger price of the orders that wait for a rise, NO_ASK: none
        ("fall_at", "<i8"),  # highest trigger price of the orders that wait for a fall, 0: none
        ("last_price", "<i8"),  # ticks, of the last trade; 0: none
        ("trade_count", "<i8"),
        ("reference_price", "<i8"),  # last_price before the command `traded_in`
        ("traded_in", "<i8"),  # sequence of the command with the last trade
        ("spare", "u1", (16,)),  # an instrument begins a cache line
    ]
)
assert INSTRUMENT.itemsize == 192

# What the engine remembers of a client, in snapshots: CLIENT, and its newest CLIENT_BATCH records one after the other.
CLIENT = np.dtype(
    [
        ("client", "<u8"),
        ("owner", "<u8"),  # as in REQUEST
        ("last_number", "<u8"),
        ("last_block", "<i8"),  # block of its last request
        ("batch_count", "<u4"),
        ("accepted", "u1"),  # 1: its last command was accepted
        ("padding", "u1", (3,)),
    ]
)
assert CLIENT.itemsize == 40

CLIENT_BATCH = np.dtype(
    [
        ("first_number", "<u8"),
        ("digest", "<u8"),  # as in REQUEST
    ]
)
assert CLIENT_BATCH.itemsize == 16

# The highest client number that was forgotten of an owner.
CLIENT_FLOOR = np.dtype(
    [
        ("owner", "<u8"),
        ("client", "<u8"),
    ]
)
assert CLIENT_FLOOR.itemsize == 16

# How far an input log was read: its client number, and one more than the offset of the last message.
LOG_POSITION = np.dtype(
    [
        ("client", "<u8"),
        ("next_offset", "<u8"),
    ]
)
assert LOG_POSITION.itemsize == 16

NO_ASK = (1 << 63) - 1
