"""Orders a second without engines; the figure itself depends on the machine."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mixdq.runtime.policy.request import Outcome
from mixdq.runtime.server.rate import app, measure, null_blueprint
from mixdq.runtime.server.service import Service

from .ledger import Ledger

pytestmark = pytest.mark.anyio


async def test_thousands_of_orders_all_end_with_their_pictures(tiny_bundle: Path) -> None:
    ledger = Ledger()
    service = Service(tiny_bundle, null_blueprint((16, 24)), time.monotonic, [ledger])
    await service.start()
    found = await measure(service, orders=4000, clients=16)
    ledger.check_over(service)
    assert service.tally().outcomes == {Outcome.DONE: 4000}
    assert found.orders == len(found.latency_s) == 4000
    assert found.quantile_ms(0.5) <= found.quantile_ms(0.99) <= found.quantile_ms(1.0)
    await service.close()


def test_the_command_says_how_many(tiny_bundle: Path) -> None:
    result = CliRunner().invoke(app, [str(tiny_bundle), "--orders", "200", "--clients", "4"])
    assert result.exit_code == 0
    assert result.output.startswith("200 orders of 4 clients: ")
