"""Which machine and which packages a figure comes from."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from mixdq.configs.gpu import find_gpu


def describe_machine() -> dict[str, str]:
    """Processor, cores, GPU, system and Python, for people."""
    gpu = find_gpu()
    return {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "gpu": "none" if gpu is None else f"{gpu.name} (sm{gpu.sm})",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def installed_versions(*distributions: str) -> dict[str, str]:
    """The versions of those of the distributions that are installed, by name."""
    found = {}
    for name in distributions:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
