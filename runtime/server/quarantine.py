"""Orders that ended two workers, refused for a while when they come again."""

from __future__ import annotations

import hashlib
from collections import OrderedDict

from mixdq.runtime.server.orders import Order


class Quarantine:
    """Remembers the last ones by a digest: neither prompts nor unbounded memory."""

    def __init__(self, count: int = 1000, for_s: float = 3600.0) -> None:
        """Starts empty.

        Args:
            count: of the pictures that are remembered at most.
            for_s: how long each is.
        """
        self._count, self._for_s = count, for_s
        self._until_s: OrderedDict[bytes, float] = OrderedDict()

    def add(self, order: Order, seed: int, now_s: float) -> None:
        """One of an order's pictures is not to be tried again."""
        key = _key(order, seed)
        self._until_s[key] = now_s + self._for_s
        self._until_s.move_to_end(key)
        if len(self._until_s) > self._count:
            self._until_s.popitem(last=False)

    def holds(self, order: Order, now_s: float) -> bool:
        """Whether one of an order's pictures is remembered."""
        if not self._until_s:
            return False
        return any(self._until_s.get(_key(order, seed), now_s) > now_s for seed in order.seeds)


def _key(order: Order, seed: int) -> bytes:
    text = f"{seed} {order.size} {order.steps} {order.prompt}"
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()
