"""How much memory a build of TensorRT for RTX needs, from how large the graph's weights are."""

from __future__ import annotations

_FIXED_MIB = 1500.0
_MIB_PER_WEIGHT_MIB = 1.8
_MIB_PER_FURTHER_PROFILE = 300.0
_MIB = 1 << 20


def memory_need_mib(weight_bytes: int, profiles: int = 1) -> float:
    """An upper estimate of the peak memory of one build, for admission before work begins.

    Measured with TensorRT for RTX 1.7.1 for SM89 on Linux: UNets of SDXL's topology at three widths and
    depths, one resolution, peak resident memory of the child process (MiB):

    | weights | bytes | peak | estimate |
    |---|---|---|---|
    | INT8, 232 M | 233,272,960 | 1046 | 1900 |
    | INT8, 728 M | 732,190,336 | 2636 | 2757 |
    | FP16, 728 M | 1,456,020,736 | 3895 | 3999 |
    | INT8, 2568 M (SDXL-Turbo) | 2,575,260,928 | 5273 to 5654 | 5921 |
    | INT8, SDXL-Turbo, 3 profiles | 2,575,260,928 | 6039 | 6521 |
    | INT4, 2568 M (SDXL-Turbo) | about 1.30 G | 2931 to 3295 | 3732 |
    | FP16, 2568 M (SDXL-Turbo) | 5,136,312,832 | 9940 | 10317 |

    The builder holds one copy of all weights and, while it collects them for the engine, parts of a second.
    The rest grows with the number of nodes, which is SDXL's here, and with each further resolution. A build
    uses one core: two side by side take the time of one, and each its own memory.

    Args:
        weight_bytes: of the graph's weights file.
        profiles: resolutions of an engine with symbolic sizes; else 1.
    """
    further = _MIB_PER_FURTHER_PROFILE * (profiles - 1)
    return _FIXED_MIB + further + _MIB_PER_WEIGHT_MIB * weight_bytes / _MIB
