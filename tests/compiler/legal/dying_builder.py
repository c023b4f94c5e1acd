"""A builder that crashes, for child processes, which must be able to import it by name."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence

from mixdq.compiler.legal.probe import Verdict
from mixdq.compiler.legal.probe_graphs import ProbeLayer
from mixdq.compiler.worker import Report
from mixdq.configs.form import Form
from mixdq.configs.target import Target


def try_graph(report: Report, target: Target, layer: ProbeLayer, form: Form) -> Verdict:
    if layer.weight_shape[-1] == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return Verdict(True, "made up 1.0")


def try_together(
    report: Report, target: Target, parts: Sequence[tuple[ProbeLayer, Form]]
) -> tuple[str, int | None]:
    os.kill(os.getpid(), signal.SIGKILL)
    return "", None
