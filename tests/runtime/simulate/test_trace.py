"""Recorded arrivals."""

from pathlib import Path
from random import Random

import pytest

from mixdq.configs.errors import EvaluationError, StorageError
from mixdq.runtime.simulate.calls import Call
from mixdq.runtime.simulate.trace import read_trace


def _file(folder: Path, text: str) -> Path:
    path = folder / "monday.csv"
    path.write_text(text)
    return path


def test_times_begin_at_zero_and_stand_in_order(tmp_path: Path) -> None:
    trace = read_trace(_file(tmp_path, "arrival_s\n1007.5\n1005\n1006\n"))
    assert [call.at_s for call in trace.calls(Random(0))] == [0.0, 1.0, 2.5]
    assert trace.name == "trace monday.csv"
    assert trace.rate_per_s == pytest.approx(0.8)


def test_further_columns_are_read_and_may_be_empty(tmp_path: Path) -> None:
    text = "priority,size,arrival_s,objective_ms\n1,768,0,250\n,auto,1,\n,,2,\n"
    calls = read_trace(_file(tmp_path, text)).recorded
    assert calls == (Call(0.0, 768, 0.25, 1), Call(1.0), Call(2.0))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "its columns are none; expected arrival_s"),
        ("time\n1\n", "its columns are time; expected arrival_s"),
        ("arrival_s,prompt\n1,x\n", "its columns are arrival_s, prompt"),
        ("arrival_s\n", "no arrivals"),
        ("arrival_s\n1\nx\n", "line 3: could not convert"),
        ("arrival_s,size\n1,large\n", "line 2: invalid literal"),
        ("arrival_s,size\n,512\n", "line 2: times are finite"),
        ("arrival_s,objective_ms\n1,-5\n", "line 2: times are finite numbers, objectives above 0"),
        ("arrival_s,size\n1\n2,512,7\n", "line 3: it has more cells than columns"),
    ],
)
def test_what_is_no_trace_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        read_trace(_file(tmp_path, text))


def test_a_file_that_is_missing_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="could not read"):
        read_trace(tmp_path / "none.csv")
    path = tmp_path / "picture.csv"
    path.write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(EvaluationError, match="is no CSV file"):
        read_trace(path)
