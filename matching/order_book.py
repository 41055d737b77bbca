"""Order-by-order books: every order of other people by its id, first come first served at each price.

An ``OrderBook`` holds the orders that a feed names. Each has a *place*: a stamp from one counter, taken when it comes
to the tail of its level and kept while it only grows smaller. Who came earlier has the smaller stamp, so an order of
ours that took a stamp when it came to rest stands exactly behind the orders of its level with smaller ones.

The rules are those of price-time priority: a smaller quantity keeps its place; a larger one, or another price, goes to
the tail of its level; an order of which nothing is left has gone.

Ids are int64 (a venue that names orders otherwise is numbered by its importer), prices ticks, sizes lots. Everything
is in flat arrays, levels as linked lists, so that the event loop uses it without Python objects.
"""

import cython
import numpy as np

if not cython.compiled:
    from matching.codes import *

    SHOWN_MAX = (1 << 31) - 1
    _MASK = (1 << 64) - 1


def _longer(old, size, kind):
    grown = np.zeros(size, dtype=kind)
    grown[: len(old)] = np.asarray(old)
    return memoryview(grown)


class IdMap:
    """int64 keys to non-negative int32 values: open addressing, linear probing, at most half full."""

    def __init__(self):
        self._clear(1024)

    def _clear(self, size):
        self.keys = memoryview(np.zeros(size, dtype=np.int64))
        self.values = memoryview(np.full(size, -1, dtype=np.int32))
        self.mask = size - 1
        self.shift = 65 - size.bit_length()
        self.count = 0

    def _home(self, key):
        """Where a key is looked for first: the upper bits of its product with 2^64 / golden ratio (Knuth)."""
        factor: cython.ulonglong = 0x9E3779B97F4A7C15
        if not cython.compiled:
            return ((key * factor) & _MASK) >> self.shift
        return cython.cast(cython.Py_ssize_t, (cython.cast(cython.ulonglong, key) * factor) >> self.shift)

    def _find(self, key):
        """The cell of a key, -1 if it is not there."""
        i: cython.Py_ssize_t = self._home(key)
        while self.values[i] >= 0:
            if self.keys[i] == key:
                return i
            i = (i + 1) & self.mask
        return -1

    def get(self, key):
        i: cython.Py_ssize_t = self._find(key)
        return self.values[i] if i >= 0 else -1

    def put(self, key, value):
        """Add a key that is not there."""
        i: cython.Py_ssize_t
        if 2 * (self.count + 1) > self.mask:
            with cython.gil:
                self._grow()
        i = self._home(key)
        while self.values[i] >= 0:
            i = (i + 1) & self.mask
        self.keys[i] = key
        self.values[i] = value
        self.count += 1

    def pop(self, key):
        """Remove a key; what follows it in its run of cells moves up."""
        hole: cython.Py_ssize_t = self._find(key)
        j: cython.Py_ssize_t = hole
        if hole < 0:
            return
        self.count -= 1
        while True:
            j = (j + 1) & self.mask
            if self.values[j] < 0:
                break
            if ((j - self._home(self.keys[j])) & self.mask) >= ((j - hole) & self.mask):
                self.keys[hole] = self.keys[j]
                self.values[hole] = self.values[j]
                hole = j
        self.values[hole] = -1

    def _grow(self):
        known = [(k, v) for k, v in zip(self.keys, self.values) if v >= 0]
        self._clear(2 * (self.mask + 1))
        for key, value in known:
            self.put(key, value)


class OrderBook:
    """Orders of both sides by id and by level. A *node* is an order's index here, valid until it leaves."""

    def __init__(self):
        self.stamp = 0
        self.n_id = self.n_ticks = self.n_lots = self.n_stamp = self.l_lots = memoryview(np.zeros(0, dtype=np.int64))
        self.n_side = self.n_next = self.n_prev = memoryview(np.zeros(0, dtype=np.int32))
        self.l_head = self.l_tail = self.l_next = self.n_side
        self.clear()

    def clear(self):
        """Forget every order; stamps go on."""
        self.ids = IdMap()
        self.levels_at = IdMap()
        self.free_node = self.free_level = -1
        self.nodes = self.level_count = 0
        self.orders = 0

    # -- what a feed says ----------------------------------------------------------------------------------------

    def apply(self, kind, order_id, side, ticks, lots):
        """One ORDER_ADD, ORDER_CHANGE, ORDER_GONE or ORDER_FILL. See ``matching.feed`` for what they state.

        What is said of an order that is not here: a change adds it, its end or execution is nothing.
        """
        node: cython.int = self.ids.get(order_id)
        if node >= 0:
            if kind == ORDER_FILL:
                self.reduce(node, lots)
                return
            if kind == ORDER_CHANGE and self.n_side[node] == side and self.n_ticks[node] == ticks:
                if lots <= self.n_lots[node]:
                    self.reduce(node, self.n_lots[node] - lots)
                    return
            self.remove(node)
        if lots > 0 and (kind == ORDER_ADD or kind == ORDER_CHANGE):
            self.stamp += 1
            self.append(order_id, side, ticks, lots, self.stamp)

    def append(self, order_id, side, ticks, lots, stamp):
        """A new order at the tail of its level."""
        level: cython.int
        tail: cython.int
        node: cython.int
        if self.free_node < 0 and self.nodes == self.n_id.shape[0]:
            with cython.gil:
                self._grow_nodes()
        if self.free_node >= 0:
            node = self.free_node
            self.free_node = self.n_next[node]
        else:
            node = self.nodes
            self.nodes += 1
        level = self._level(side, ticks)
        tail = self.l_tail[level]
        self.n_id[node] = order_id
        self.n_side[node] = side
        self.n_ticks[node] = ticks
        self.n_lots[node] = lots
        self.n_stamp[node] = stamp
        self.n_prev[node] = tail
        self.n_next[node] = -1
        if tail >= 0:
            self.n_next[tail] = node
        else:
            self.l_head[level] = node
        self.l_tail[level] = node
        self.l_lots[level] += lots
        self.ids.put(order_id, node)
        self.orders += 1

    def _level(self, side, ticks):
        """The level of a price, made if there is none."""
        level: cython.int = self.levels_at.get(2 * ticks + side)
        if level >= 0:
            return level
        if self.free_level < 0 and self.level_count == self.l_lots.shape[0]:
            with cython.gil:
                self._grow_levels()
        if self.free_level >= 0:
            level = self.free_level
            self.free_level = self.l_next[level]
        else:
            level = self.level_count
            self.level_count += 1
        self.l_head[level] = self.l_tail[level] = -1
        self.l_lots[level] = 0
        self.levels_at.put(2 * ticks + side, level)
        return level

    def reduce(self, node, lots):
        """Take ``lots`` from an order; it leaves when nothing is left."""
        level: cython.int
        if lots >= self.n_lots[node]:
            self.remove(node)
            return
        level = self.levels_at.get(2 * self.n_ticks[node] + self.n_side[node])
        self.n_lots[node] -= lots
        self.l_lots[level] -= lots

    def remove(self, node):
        key: cython.longlong = 2 * self.n_ticks[node] + self.n_side[node]
        level: cython.int = self.levels_at.get(key)
        before: cython.int = self.n_prev[node]
        after: cython.int = self.n_next[node]
        if before >= 0:
            self.n_next[before] = after
        else:
            self.l_head[level] = after
        if after >= 0:
            self.n_prev[after] = before
        else:
            self.l_tail[level] = before
        self.l_lots[level] -= self.n_lots[node]
        if self.l_head[level] < 0:
            self.levels_at.pop(key)
            self.l_next[level] = self.free_level
            self.free_level = level
        self.ids.pop(self.n_id[node])
        self.n_next[node] = self.free_node
        self.free_node = node
        self.orders -= 1

    def _grow_nodes(self):
        size = max(256, 2 * self.nodes)
        self.n_id = _longer(self.n_id, size, np.int64)
        self.n_ticks = _longer(self.n_ticks, size, np.int64)
        self.n_lots = _longer(self.n_lots, size, np.int64)
        self.n_stamp = _longer(self.n_stamp, size, np.int64)
        self.n_side = _longer(self.n_side, size, np.int32)
        self.n_next = _longer(self.n_next, size, np.int32)
        self.n_prev = _longer(self.n_prev, size, np.int32)

    def _grow_levels(self):
        size = max(64, 2 * self.level_count)
        self.l_head = _longer(self.l_head, size, np.int32)
        self.l_tail = _longer(self.l_tail, size, np.int32)
        self.l_next = _longer(self.l_next, size, np.int32)
        self.l_lots = _longer(self.l_lots, size, np.int64)

    # -- reading -------------------------------------------------------------------------------------------------

    def find(self, order_id):
        """The node of an order, -1 if it is not here."""
        return self.ids.get(order_id)

    def total(self, side, ticks):
        """Lots of all orders at a price."""
        level: cython.int = self.levels_at.get(2 * ticks + side)
        return self.l_lots[level] if level >= 0 else 0

    def shown(self, side, ticks):
        """The same as a ladder of 32-bit cells can show it."""
        return min(self.total(side, ticks), SHOWN_MAX)

    def first(self, side, ticks):
        """The id of the order that is first in the queue at a price, -1 if there is none."""
        level: cython.int = self.levels_at.get(2 * ticks + side)
        return self.n_id[self.l_head[level]] if level >= 0 else -1

    def ahead(self, side, ticks, stamp):
        """Lots at a price that came before ``stamp``."""
        level: cython.int = self.levels_at.get(2 * ticks + side)
        node: cython.int
        lots: cython.longlong = 0
        if level >= 0:
            node = self.l_head[level]
            while node >= 0 and self.n_stamp[node] < stamp:
                lots += self.n_lots[node]
                node = self.n_next[node]
        return lots

    def last_stamp(self, side, ticks):
        """The place of the last order at a price, 0 if there is none."""
        level: cython.int = self.levels_at.get(2 * ticks + side)
        return self.n_stamp[self.l_tail[level]] if level >= 0 else 0

    def lots_ahead(self, order_id):
        """Lots ahead of an order at its price; KeyError if it is not here."""
        node: cython.int = self.ids.get(order_id)
        if node < 0:
            raise KeyError(order_id)
        return self.ahead(self.n_side[node], self.n_ticks[node], self.n_stamp[node])

    def order(self, order_id):
        """(side, ticks, lots, stamp) of an order, None if it is not here."""
        node: cython.int = self.ids.get(order_id)
        if node < 0:
            return None
        return self.n_side[node], self.n_ticks[node], self.n_lots[node], self.n_stamp[node]

    def queue(self, side, ticks):
        """The orders at a price as (id, lots), first come first."""
        out = []
        level: cython.int = self.levels_at.get(2 * ticks + side)
        node: cython.int = self.l_head[level] if level >= 0 else -1
        while node >= 0:
            out.append((self.n_id[node], self.n_lots[node]))
            node = self.n_next[node]
        return out

    def levels(self):
        """All levels as (side, ticks, lots), sorted."""
        known = [(key & 1, key >> 1, value) for key, value in zip(self.levels_at.keys, self.levels_at.values)]
        return sorted((side, ticks, self.l_lots[level]) for side, ticks, level in known if level >= 0)

    def places(self):
        """Every order as id -> (side, ticks, lots, stamp)."""
        return {key: self.order(key) for key, node in zip(self.ids.keys, self.ids.values) if node >= 0}
