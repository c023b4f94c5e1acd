from __future__ import annotations

import signal
import subprocess
import sys
import time

# Of two budgets all choices are searched, and of so many SCIP takes all the time that it may.
_PROGRAM = """
import random, signal, time
from mixdq.compiler.allocate.programme import Budget, Choice, Item, Programme
from mixdq.compiler.allocate.solver import solve
from mixdq.configs.errors import PlanError
draw = random.Random(0)
BITS = tuple((weight, activation) for weight in (2, 4, 8) for activation in (4, 8, 16))
def item(number):
    size, width = draw.randint(10**6, 10**7), draw.randint(10**5, 10**6)
    return Item(str(number), tuple(
        Choice(bits, -draw.random() * 4.0**-bits[0] - draw.random() * 4.0**-bits[1],
               (bits[0] * size, bits[1] * width))
        for bits in BITS
    ))
items = tuple(item(number) for number in range(400))
totals = [sum(item.choices[0].costs[place] for item in items) // BITS[0][place] for place in (0, 1)]
budgets = (Budget("weight bits", 4.1, totals[0]), Budget("activation bits", 8.1, totals[1]))
interrupts = []
signal.signal(signal.SIGINT, lambda *_: interrupts.append(1))
print("searching", flush=True)
started = time.perf_counter()
try:
    proven = solve(Programme(items, budgets), limit_s=2).proven
except PlanError:
    proven = False
whole = proven or time.perf_counter() - started > 1.5
signal.signal(signal.SIGINT, signal.SIG_IGN)
print("to its end" if whole else "stopped", end=", ")
print("interrupted" if interrupts else "not interrupted")
"""


def test_an_interrupt_is_pythons_and_not_a_wish_that_scip_gives_what_it_has() -> None:
    with subprocess.Popen([sys.executable, "-c", _PROGRAM], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "searching\n"
        # Wherever the first falls, of those after it some fall into SCIP.
        while program.poll() is None:
            program.send_signal(signal.SIGINT)
            time.sleep(0.05)
        assert (program.wait(), program.stdout.read()) == (0, "to its end, interrupted\n")
