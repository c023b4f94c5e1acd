"""What folders hold."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mixdq.configs.errors import EvaluationError
from mixdq.configs.files import sha256_of_file
from mixdq.configs.layers import LayerTable
from mixdq.configs.memory_table import MemoryTable
from mixdq.configs.plan import PrecisionPlan
from mixdq.eval.report.found import find_results

ROOT = Path(__file__).parents[3]
SHIPPED = ROOT / "configs/search/emoji-turbo"
PERFORMANCE = ROOT / "docs/performance"


def test_documents_are_found_below_a_folder_with_names_and_digests() -> None:
    found = find_results([SHIPPED])
    assert [plan.name for plan in found.plans] == [
        f"emoji-turbo/plans/{name}.yaml" for name in ("w3.66a16", "w4a16", "w4a8", "w5a8", "w8a8")
    ]
    assert found.plans[2].content == PrecisionPlan.read(SHIPPED / "plans/w4a8.yaml")
    assert found.plans[2].sha256 == sha256_of_file(SHIPPED / "plans/w4a8.yaml")
    assert found.layers[0].content == LayerTable.read(SHIPPED / "layers.json")
    assert len(found.sensitivities) == 1
    assert {kind for kind, _ in found.documents()} == {"plans", "layers", "sensitivities"}


def test_a_document_is_known_by_what_it_says_whatever_its_name(tmp_path: Path) -> None:
    MemoryTable((), {"processor": "one"}, {}).write(tmp_path / "memory.json")
    shutil.copy(SHIPPED / "plans/w8a8.yaml", tmp_path / "mine.yml")
    shutil.copy(SHIPPED / "layers.json", tmp_path / "network.json")
    found = find_results([tmp_path])
    assert [document.path.name for _, document in found.documents()] == [
        "mine.yml",
        "network.json",
        "memory.json",
    ]


def test_times_on_a_gpu_are_read_with_their_machine() -> None:
    (trial,) = find_results([PERFORMANCE]).gpu_trials
    assert trial.content.machine["gpu"] == "NVIDIA H200 (sm90)"
    assert len(trial.content.commands) == 10
    fp16 = next(time for time in trial.content.times if (time.way, time.resolution) == ("fp16", 512))
    assert (fp16.ms, fp16.allocated_mib) == (6.8316, 5030.5)
    assert next(time for time in trial.content.times if time.way == "graph").db is None
    assert set(trial.content.beside) == {"machine.json", "kinds.csv"}
    kernels = find_results([PERFORMANCE]).kernels
    assert {each.content.gpu for each in kernels} == {"NVIDIA H200"}


def test_cases_that_were_not_timed_say_why(tmp_path: Path) -> None:
    (tmp_path / "unet.csv").write_text(
        "way,resolution,batch,missing,compile_s,ms,ms_q1,ms_q3,ms_in_a_row,runs,allocated_mib,db\n"
        "w8a8,512,4,,60,20.5,20.4,20.6,20.1,51,3000,21.5\n"
        "torchao,512,1,out of memory,,,,,,,,\n"
    )
    (tmp_path / "kinds.csv").write_text(
        "way,resolution,batch,kind,us,launches\nw8a8,512,4,attention,900,140\n"
    )
    shutil.copy(PERFORMANCE / "h200/machine.json", tmp_path)
    (trial,) = find_results([tmp_path]).gpu_trials
    assert [(time.way, time.batch, time.ms) for time in trial.content.times] == [("w8a8", 4, 20.5)]
    assert trial.content.missing == ("torchao at 512 pixels, batch 1: out of memory",)
    assert [(kind.kernels, kind.batch) for kind in trial.content.kinds] == [("attention", 4)]


def test_times_of_an_unknown_machine_are_refused(tmp_path: Path) -> None:
    shutil.copy(PERFORMANCE / "h200/unet.csv", tmp_path)
    with pytest.raises(EvaluationError, match=r"no machine\.json beside it"):
        find_results([tmp_path])


def test_a_file_that_is_met_twice_counts_once() -> None:
    found = find_results([SHIPPED, SHIPPED / "plans", SHIPPED / "plans/w4a8.yaml"])
    assert len(found.plans) == 5


def test_equal_files_count_once_unless_they_speak_of_what_lies_beside_them(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        MemoryTable((), {"processor": "one"}, {}).write(tmp_path / folder / "memory.json")
        shutil.copy(SHIPPED / "plans/w8a8.yaml", tmp_path / folder / "plan.yaml")
    found = find_results([tmp_path])
    (memory,) = found.memories
    assert memory.name == f"{tmp_path.name}/a/memory.json"
    assert memory.copies == (f"{tmp_path.name}/b/memory.json",)
    assert len(found.plans) == 2


def test_unknown_files_hidden_ones_and_the_parts_of_bundles_are_let_be(tmp_path: Path) -> None:
    shutil.copy(SHIPPED / "plans/w8a8.yaml", tmp_path / "plan.yaml")
    (tmp_path / "notes.json").write_text("[]")
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "report.json").write_text('{"of": "another tool"}')
    (tmp_path / ".latency.json").write_text("{")
    (tmp_path / "picture.png").write_bytes(b"no picture")
    assert [kind for kind, _ in find_results([tmp_path]).documents()] == ["plans"]


def test_broken_documents_are_named_together(tmp_path: Path) -> None:
    (tmp_path / "quality.json").write_text("{")
    (tmp_path / "latency.json").write_text(json.dumps({"rows": [{"median_us": "?"}], "versions": {}}))
    (tmp_path / "plan.yaml").write_text("layers: [")
    with pytest.raises(EvaluationError, match=r"can't be read") as raised:
        find_results([tmp_path])
    assert all(name in str(raised.value) for name in ("quality.json", "latency.json", "plan.yaml"))


@pytest.mark.parametrize("name", ["missing", "a file", "empty"])
def test_what_holds_no_results_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a file").write_text("no document")
    with pytest.raises(EvaluationError, match=name):
        find_results([tmp_path / name])
