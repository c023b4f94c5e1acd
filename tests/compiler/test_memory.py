from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from mixdq.compiler.memory import available_mib
from mixdq.compiler.worker import run_in_child

_MEMINFO = (
    "MemTotal:       16777216 kB\nMemFree:  1048576 kB\nMemAvailable:   8388608 kB\nHugePages_Total: 0\n"
)
_GIB = 1 << 30


def tree(root: Path, **files: str) -> Path:
    """A folder with `proc` and `sys` as a system would show them."""
    for name, text in {"proc/meminfo": _MEMINFO, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def v1(folder: str, limit: int, used: int, cached: int = 0) -> dict[str, str]:
    base = f"sys/fs/cgroup/memory{folder}/memory"
    stat = f"cache {cached}\ntotal_inactive_file {cached}\ntotal_active_file 0\n"
    return {
        f"{base}.limit_in_bytes": f"{limit}\n",
        f"{base}.usage_in_bytes": f"{used}\n",
        f"{base}.stat": stat,
    }


def v2(folder: str, limit: int | str, used: int, cached: int = 0) -> dict[str, str]:
    base = f"sys/fs/cgroup{folder}/memory"
    stat = f"anon {used - cached}\ninactive_file 0\nactive_file {cached}\n"
    return {f"{base}.max": f"{limit}\n", f"{base}.current": f"{used}\n", f"{base}.stat": stat}


def test_without_control_groups_it_is_what_the_machine_has_available(tmp_path: Path) -> None:
    assert available_mib(tree(tmp_path)) == 8192


def test_a_limit_of_version_2_counts_less_its_use_and_cached_pages_are_free(tmp_path: Path) -> None:
    files = v2("/box", 4 * _GIB, 3 * _GIB, cached=2 * _GIB)
    assert available_mib(tree(tmp_path, **{"proc/self/cgroup": "0::/box\n"}, **files)) == 3072


def test_a_limit_of_a_group_further_out_counts_too(tmp_path: Path) -> None:
    files = {**v2("/outer", 2 * _GIB, _GIB), **v2("/outer/inner", "max", _GIB)}
    assert available_mib(tree(tmp_path, **{"proc/self/cgroup": "0::/outer/inner\n"}, **files)) == 1024


def test_a_limit_of_version_1_counts_beside_other_hierarchies(tmp_path: Path) -> None:
    membership = "9:name=systemd:/\n4:cpuset,memory:/job\n1:cpu:/\n0::/\n"
    files = v1("/job", 6 * _GIB, 2 * _GIB, cached=_GIB)
    assert available_mib(tree(tmp_path, **{"proc/self/cgroup": membership}, **files)) == 5120


def test_a_group_of_version_1_without_a_limit_changes_nothing(tmp_path: Path) -> None:
    files = v1("", 9223372036854771712, 2 * _GIB)
    assert available_mib(tree(tmp_path, **{"proc/self/cgroup": "4:memory:/\n"}, **files)) == 8192


def test_in_a_container_that_sees_the_hosts_path_the_limit_at_the_top_counts(tmp_path: Path) -> None:
    files = v1("", 3 * _GIB, _GIB)
    membership = {"proc/self/cgroup": "4:memory:/docker/0123abcd\n"}
    assert available_mib(tree(tmp_path, **membership, **files)) == 2048


def test_a_group_that_uses_more_than_its_limit_has_nothing_left(tmp_path: Path) -> None:
    files = v2("/box", _GIB, 2 * _GIB)
    assert available_mib(tree(tmp_path, **{"proc/self/cgroup": "0::/box\n"}, **files)) == 0


def limits(address_space: int | str, data: int | str = "unlimited") -> dict[str, str]:
    """A process of 1 GiB of address space, 256 MiB of it data, with limits."""
    rows = {"Limit": ("Soft Limit", "Hard Limit"), "Max cpu time": ("unlimited", "unlimited")}
    rows |= {
        "Max data size": (f"{data}", "unlimited"),
        "Max address space": (f"{address_space}", "unlimited"),
    }
    table = "".join(f"{name:<25} {soft:<20} {hard:<20} bytes\n" for name, (soft, hard) in rows.items())
    status = "Name:\tpython\nVmSize:\t 1048576 kB\nVmData:\t  262144 kB\nThreads:\t1\n"
    return {"proc/self/limits": table, "proc/self/status": status}


def test_a_limit_of_the_address_space_counts_less_what_is_in_use(tmp_path: Path) -> None:
    assert available_mib(tree(tmp_path, **limits(3 * _GIB))) == 2048


def test_a_limit_of_the_data_counts_less_what_is_in_use(tmp_path: Path) -> None:
    assert available_mib(tree(tmp_path, **limits(3 * _GIB, _GIB))) == 768


def test_a_process_without_limits_has_what_the_machine_has(tmp_path: Path) -> None:
    assert available_mib(tree(tmp_path, **limits("unlimited"))) == 8192


@pytest.mark.skipif(sys.platform != "linux", reason="limits of the address space are Linux's")
def test_a_real_limit_of_this_process_counts(jobs: Any) -> None:
    found = run_in_child(jobs.available_under_a_limit, 3000).value
    assert 0 < found < 3000


def test_without_proc_it_is_the_machines_whole_memory(tmp_path: Path) -> None:
    assert available_mib(tmp_path) == pytest.approx(psutil.virtual_memory().total / (1 << 20), rel=0.02)


def test_this_machine_has_some_and_no_more_than_it_has() -> None:
    assert 100 < available_mib() <= psutil.virtual_memory().total / (1 << 20)
