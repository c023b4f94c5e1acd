"""How many orders a second queue and policy take, without engines and without HTTP.

python -m mixdq.runtime.server.rate DIR
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from mixdq.configs.bundle import Bundle
from mixdq.configs.console import run_app
from mixdq.runtime.policy.deadline import Deadline
from mixdq.runtime.policy.points import Menu, Point, make_menu
from mixdq.runtime.policy.policy import Policy
from mixdq.runtime.policy.prices import Problem
from mixdq.runtime.policy.queue import QueueLimits
from mixdq.runtime.server.blueprint import Blueprint
from mixdq.runtime.server.orders import Order
from mixdq.runtime.server.service import Service
from mixdq.runtime.server.supervisor import Patience
from mixdq.runtime.work.job import Ready
from mixdq.runtime.work.null import NullWork

_OBJECTIVE_S = 1.0

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True, slots=True)
class Rate:
    """What was measured.

    Attributes:
        orders: that were made, all of them.
        wall_s: by the clock.
        cpu_s: of this process.
        latency_s: of each order, ascending.
    """

    orders: int
    wall_s: float
    cpu_s: float
    latency_s: tuple[float, ...]

    def quantile_ms(self, share: float) -> float:
        """The latency that this share of the orders does not exceed."""
        return 1e3 * self.latency_s[min(len(self.latency_s) - 1, int(share * len(self.latency_s)))]


async def measure(service: Service, orders: int, clients: int) -> Rate:
    """Orders from clients that each wait for their picture before the next one.

    Args:
        service: which has started.
        orders: of one picture, of any size.
        clients: at once.
    """
    latency_s: list[float] = []

    async def ask(first: int) -> None:
        for number in range(first, orders, clients):
            began_s = time.perf_counter()
            await service.submit(Order("a picture", (number,), None)).pictures
            latency_s.append(time.perf_counter() - began_s)

    wall_s, cpu_s = time.perf_counter(), time.process_time()
    await asyncio.gather(*(ask(first) for first in range(clients)))
    wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    return Rate(len(latency_s), wall_s, cpu_s, tuple(sorted(latency_s)))


def null_blueprint(resolutions: Sequence[int]) -> Blueprint:
    """The deadline policy, over workers without engines."""
    return Blueprint(
        work=lambda folder, number: NullWork(resolutions),
        menu=_menu,
        policy=_policy,
        workers=1,
        objective_s=_OBJECTIVE_S,
        steps=1,
        limits=QueueLimits(1000, 1 << 30),
        switch_s=0.0,
        rate_memory_s=5 * _OBJECTIVE_S,
        patience=Patience(),
    )


@app.command()
def rate(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A bundle, for its sizes.")],
    orders: Annotated[int, typer.Option(min=1)] = 20000,
    clients: Annotated[int, typer.Option(min=1, help="That wait for their pictures, at once.")] = 8,
) -> None:
    """Measure orders a second through queue and policy, without engines and HTTP."""
    asyncio.run(_report(folder, orders, clients))


async def _report(folder: Path, orders: int, clients: int) -> None:
    service = Service(folder, null_blueprint(Bundle.read(folder).resolutions), time.monotonic)
    await service.start()
    try:
        found = await measure(service, orders, clients)
    finally:
        await service.close()
    print(
        f"{found.orders} orders of {clients} clients: {found.orders / found.wall_s:.0f} a second, "
        f"{found.orders / found.cpu_s:.0f} a second of processor time; "
        f"ms p50 {found.quantile_ms(0.5):.3f}, p99 {found.quantile_ms(0.99):.3f}, "
        f"longest {found.quantile_ms(1.0):.3f}"
    )


def _menu(bundle: Bundle, workers: Sequence[Ready]) -> Menu:
    """Made-up utilities and times that grow with the area."""
    largest = bundle.resolutions[-1]
    return make_menu(
        Point(size, size / largest, (workers[0].service_s[size][1][0] * (size / largest) ** 2,), (0.0,))
        for size in bundle.resolutions
    )


def _policy(menu: Menu) -> Policy:
    return Deadline(Problem(menu, _OBJECTIVE_S, 1, 2.0), 0.001, 0.05)


if __name__ == "__main__":
    run_app(app)
