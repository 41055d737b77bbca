"""The integers that cross the kernels' face, each defined once.

``codes.pxd`` beside this file holds the same names for compiled code (a test compares the two).
"""

# -- sides: of a level, of an order, of a trade's aggressor
BUY = 0
SELL = 1

# -- kinds of feed messages (column ``kind``)
DEPTH = 1  # rows are absolute level quantities, 0 deletes; ref = last update id
TRADE = 2  # rows are prints on the book, side = aggressor; ref = trade id
BBO = 3  # best bid row then best ask row (a missing side has no row); ref = update id
SNAPSHOT = 4  # rows are the whole book; ref = update id
MARK = 5  # no rows; ref = row of aux: mark_e8, index_e8, rate_e12, next_funding_ns
FUNDING = 6  # no rows; ref = row of aux: rate_e12, mark_e8 (0: use the mark of the run), boundary_ns, 0
GAP = 7  # no rows; ref = row of aux: gap kind, first lost id, last lost id, span_ns
OFFBOOK = 8  # a print that is not of this book (insurance fund, ADL, block); rows as TRADE
FORCE = 9  # somebody else's liquidation order, information only; rows as TRADE
# order-by-order feeds (L3): one row each, ref = the venue's order id
ORDER_ADD = 10  # a resting order appears at the tail of its level
ORDER_CHANGE = 11  # its quantity is now qty_lots; a higher one, or another price, goes to the tail
ORDER_GONE = 12  # it has left the book (qty_lots: what was left)
ORDER_FILL = 13  # it was executed for qty_lots; side = the resting order's
ORDER_BOOK = 14  # no row; the whole book follows as ref ORDER_ADDs, in queue order at each price

# -- beside MARK and FUNDING, a kind of row of a table that stands for messages (``Core.set_plan``)
PLAN_INDEX = 64  # the index from now on

# -- gap kinds (aux column 0 of GAP)
GAP_SEQUENCE = 1
GAP_DISCONNECT = 2
GAP_SESSION_END = 3
GAP_CHECKSUM = 4  # the venue's checksum said that the book was another
GAP_RECORDER = 5  # the recorder itself lost it: a full queue, a full or failing disk, a damaged file

# -- order types, time in force, flags of a request
LIMIT = 0
MARKET = 1
GTC = 0
IOC = 1
FOK = 2
GTX = 3  # post-only
GTD = 4  # good till an instant (or a block)
FLAG_REDUCE_ONLY = 1
FLAG_CLOSE_POSITION = 2  # sized when it executes: all of the position
FLAG_LONG_LEG = 4  # hedge mode: the order belongs to the long position
FLAG_SHORT_LEG = 8  # hedge mode: to the short one
FLAG_CONDITIONAL = 16  # held until its trigger
FLAG_EXPIRES = 32  # closed by the venue at its good-till instant

# -- triggers of conditional orders, and the price that they watch
TRIGGER_NONE = 0
TRIGGER_STOP = 1  # a buy when the price is at or above, a sell at or below
TRIGGER_TAKE_PROFIT = 2  # the other way round
TRIGGER_TRAILING = 3  # from the extreme since activation by a callback rate
WATCH_LAST = 1
WATCH_MARK = 2
WATCH_INDEX = 3

# -- how a venue does it (words of the rule cards as integers)
STP_NONE = 0
STP_CANCEL_TAKER = 1  # the incoming order's rest goes
STP_CANCEL_MAKER = 2  # the resting order goes
STP_CANCEL_BOTH = 3
STP_REJECT_TAKER = 4  # the incoming order is refused before it takes anything
POST_ONLY_REJECT = 0  # refused, no order
POST_ONLY_EXPIRE = 1  # closed by the venue, never accepted
POST_ONLY_CANCEL = 2  # accepted, then closed
POST_ONLY_SLIDE = 3  # repriced to the last price that does not take
REDUCE_SHRINK = 0  # cut to the position on arrival, and at each execution
REDUCE_REJECT = 1  # refused when larger than the position
REDUCE_RESIZE = 2  # resting ones follow the position down
AMEND_NEVER_KEEPS = 0  # priority after an amendment
AMEND_SIZE_DOWN_KEEPS = 1
AMEND_ALWAYS_KEEPS = 2
EXPIRY_NONE = 0  # what a good-till order is good till
EXPIRY_TIME = 1
EXPIRY_BLOCK = 2
EXPIRY_DAY = 3  # the end of the venue's day
MODE_CROSS = 0
MODE_ISOLATED = 1
SETTING_LEVERAGE = 1  # what a request changes; value = whole times
SETTING_MODE = 2  # value = MODE_*
SETTING_MARGIN = 3  # value = money at 1e-8 into an isolated position (negative: out of it)
SETTING_SHORT_MARGIN = 4  # the same of the short leg
SETTING_DEAD_MAN = 5  # value = ns until the venue closes our orders, unless asked again; 0 disarms

# -- order events, as they arrive from a venue
EV_ACCEPTED = 1
EV_REJECTED = 2
EV_FILLED = 3  # partial or whole; lots = executed by this event
EV_CANCELED = 4
EV_CANCEL_REJECTED = 5
EV_AMENDED = 6
EV_AMEND_REJECTED = 7
EV_EXPIRED = 8  # closed by the venue: IOC remainder, FOK, post-only, reduce-only, liquidation
EV_TRIGGERED = 9
EV_HELD = 10  # accepted, waits for its trigger
# -- account events
EV_FUNDING = 20  # lots = position charged, amount = payment, rate and mark in their columns
EV_MARGIN_WARNING = 21
EV_LIQUIDATED = 22  # the position was taken over; ticks = bankruptcy price (rounded), lots = taken
EV_ADL = 23
EV_SETTING = 24  # a leverage, margin mode or isolated margin was changed as asked; ticks = SETTING_*, lots = value
EV_SETTING_REJECTED = 25

# -- reasons (close and reject reasons as the wire carries them)
R_NONE = 0
R_USER = 1
R_FILLED = 2
R_POST_ONLY = 3
R_IOC_REMAINDER = 4
R_FOK = 5
R_MARKET_REMAINDER = 6
R_REDUCE_ONLY = 7
R_STP = 8
R_LIQUIDATION = 9
R_ADL = 10
R_MARGIN = 11  # margin insufficient
R_LEVERAGE = 12  # position above what the leverage or the last bracket allows
R_MIN_NOTIONAL = 13
R_PRICE_BAND = 14
R_LOT_SIZE = 15
R_UNKNOWN_ORDER = 16  # cancel or amend of an order that is not open
R_NO_BOOK = 17  # the simulator cannot know: book stale or empty
R_NO_LIQUIDITY = 18
R_MAX_ORDERS = 19
R_EXPIRED = 20
R_VENUE = 21
R_NO_CHANGE = 22
R_LATENCY = 23  # recorded latency of this request is "rejected by the venue" (negative)
R_RATE_LIMIT = 24
R_CLIENT_ID = 25  # a client id of the wrong form
R_DUPLICATE_ID = 26
R_TRIGGER = 27  # a trigger price that is none, or that would fire at once where the venue refuses that
R_MAX_STOPS = 28
R_POSITION_SIDE = 29  # leg flags against the position mode
R_TICK_SIZE = 30
R_UNSUPPORTED = 31  # an order type, time in force or option that the venue does not have
R_DEAD_MAN = 32
R_MAX_POSITION = 33
R_OPEN_ORDERS = 34  # a setting blocked by open orders
R_OPEN_POSITION = 35  # a setting blocked by a position
R_SAME_SETTING = 36
R_MULTI_ASSETS = 37  # multi-assets mode excludes isolated margin
R_IN_LIQUIDATION = 38
R_OPEN_INTEREST = 39
R_EXPIRY = 40  # a good-till instant too near or too far
R_SIBLING = 41  # the other order of a pair was executed
R_MAX_VALUE = 42  # notional above what the venue takes in one order
R_SETTLING = 43
R_HALTED = 44  # the market takes no such order now (stale mark, maintenance)
R_MAX_AMENDS = 45  # the order has been amended as often as the venue allows
R_NO_POSITION = 46  # a setting of a position that is not there
R_MARKET_BAND = 47  # a market order while the best opposite price lies outside the price band
R_PRICE_RANGE = 48  # below the instrument's least price or above its greatest
R_RISK = 49  # a limit of the run's own: it never left

# -- the simulator's cause of a fill (never part of the canonical log)
CAUSE_NONE = 0
CAUSE_TAKER = 1  # walked the displayed book on arrival
CAUSE_QUEUE = 2  # a trade at our price reached us
CAUSE_THROUGH = 3  # a trade went through our price
CAUSE_CROSS = 4  # the feed's opposite best reached or passed our price
CAUSE_DEPTH = 5  # a depth change consumed the queue
CAUSE_LIQUIDATION = 6
CAUSE_ADL = 7
CAUSE_TAKEOVER = 8  # the insurance fund, vault or backstop took the position

LIQ_NONE = 0
LIQ_MAKER = 1
LIQ_TAKER = 2

# -- queue models
QUEUE_RISK_AVERSE = 0
QUEUE_POWER = 1  # p = b^n / (b^n + f^n)
QUEUE_POWER2 = 2  # p = b^n / (b + f)^n
QUEUE_POWER3 = 3  # p = 1 - (f / (f + b))^n
QUEUE_LOG = 4  # p = ln(1+b) / (ln(1+b) + ln(1+f))
QUEUE_LOG2 = 5  # p = ln(1+b) / ln(1+b+f)
QUEUE_CUSTOM = 9  # a Python object with one method: probability(front, back) -> float

# -- exchange models
EXCHANGE_PARTIAL = 0  # correct partial fills, a trade is shared by own orders in queue order
EXCHANGE_NOPARTIAL = 1  # hftbacktest's NoPartialFillExchange, for comparison only

# -- what ``Core.advance`` came back for
WAKE_TIME = 0  # the requested instant is reached
WAKE_MARKET = 1  # a market message somebody listens to is due
WAKE_PRIVATE = 2  # a private event of a listening lane is due
NEED_DATA = 3  # a market has consumed its window: set the next one
WAKE_END = 4  # no data is left

# -- what a lane listens to (bits of ``Core.listen``)
ON_BOOK = 1  # every DEPTH, BBO and SNAPSHOT message
ON_TRADE = 2  # TRADE and OFFBOOK
ON_MARK = 4
ON_GAP = 8
ON_FORCE = 16
ON_PRIVATE = 32  # order and account events wake the lane

# -- mark sources of a market
MARK_RECORDED = 0  # MARK messages
MARK_MID = 1  # named proxy: the venue book's mid, sampled at whole seconds
MARK_COMPUTED = 2  # by the venue's formula, from index and book

NO_PRICE = -(1 << 62)  # absent best price, in ticks
E8 = 100_000_000
E12 = 1_000_000_000_000

# -- the kind of price at which a position was taken over or deleveraged
PRICE_NONE = 0
PRICE_MARK = 1
PRICE_BANKRUPTCY = 2
PRICE_PRIOR_MARK = 3

# -- columns of one log record (``Core.drain_log``); account events use the second meaning
L_LANE = 0
L_ACCOUNT = 1
L_MARKET = 2
L_ORDER_NO = 3
L_SEQ = 4
L_EVENT = 5
L_REASON = 6
L_TS = 7  # venue time; of EV_FUNDING the boundary
L_TICKS = 8  # EV_FUNDING: mark_e8
L_LOTS = 9  # EV_FUNDING: position charged
L_LIQUIDITY = 10
L_FEE = 11  # EV_FUNDING: payment, positive = received
L_SENT = 12  # EV_FUNDING: venue time at which it was booked
L_DELIVER = 13
L_CAUSE = 14
L_FRONT = 15  # queue ahead at the fill, in millionths of a lot; EV_FUNDING: rate_e12
L_SIDE = 16
L_STYLE = 17  # tif + 8 * type + 16 * flags
L_LEAVES = 18  # EV_LIQUIDATED, EV_ADL: PRICE_*
L_REALIZED = 19
L_POSITION = 20  # after the event, lots
L_WALLET = 21  # after the event, e8
L_SLOT = 22
L_WIDTH = 23
