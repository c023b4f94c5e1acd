from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import os, random, signal, threading, time
from mixdq.compiler.allocate.programme import Budget, Choice, Item, Programme
from mixdq.compiler.allocate.solver import solve
signal.signal(signal.SIGINT, signal.default_int_handler)
draw = random.Random(0)
items = tuple(
    Item(str(n), tuple(Choice(b, 60 - 50 * draw.random() * 2.0**-b, (b * size,)) for b in (2, 4, 8)))
    for n, size in ((n, draw.randint(10**6, 10**7)) for n in range(1000))
)
total = sum(item.choices[0].costs[0] for item in items) // 2
programme = Programme(items, (Budget("mean bits", 4.1, total),))
threading.Thread(target=lambda: (time.sleep(0.5), os.kill(os.getpid(), signal.SIGINT))).start()
try:
    while True:
        solve(programme, limit_s=5)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_ctrl_c_ends_a_search_instead_of_giving_what_it_has() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stdout) == (0, "interrupted\n")
