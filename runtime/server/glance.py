"""The service's status, not newer than it has to be."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from mixdq.configs.bundle import Bundle
from mixdq.runtime.server.orders import NotServingError

if TYPE_CHECKING:
    from mixdq.runtime.server.service import Service
    from mixdq.runtime.server.status import Status

_FRESH_S = 0.25


class Glance:
    """Remembers for a quarter of a second: a status sorts the last minute's times."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._seen: Status | None = None
        self._until_s = -math.inf

    def status(self) -> Status:
        """As of a quarter of a second ago at most."""
        if self._seen is None or time.monotonic() >= self._until_s:
            return self.look()
        return self._seen

    def look(self) -> Status:
        """As of now."""
        self._seen, self._until_s = self._service.status(), time.monotonic() + _FRESH_S
        return self._seen

    @property
    def bundle(self) -> Bundle:
        """The bundle that is served, or will be.

        Raises:
            NotServingError: none has been read yet.
        """
        found = self.status().bundle
        if found is None:
            raise NotServingError("the server is loading its engines; try again in a moment")
        return found
