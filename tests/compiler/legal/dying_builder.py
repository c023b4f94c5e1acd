"""A builder that crashes, for child processes, which must be able to import it by name."""

from __future__ import annotations

import os
import signal

from mixdq.compiler.legal.probe import Verdict
from mixdq.compiler.legal.probe_graphs import Shape
from mixdq.compiler.worker import Report
from mixdq.configs.form import Form
from mixdq.configs.target import Target


def try_graph(report: Report, target: Target, shape: Shape, form: Form) -> Verdict:
    if shape is Shape.CONVOLUTION_3X3:
        os.kill(os.getpid(), signal.SIGKILL)
    return Verdict(True, "made up 1.0")
