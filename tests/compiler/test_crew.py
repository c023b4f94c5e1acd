from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mixdq.compiler.crew import execute
from mixdq.compiler.progress import SilentWatch
from mixdq.compiler.records import Book, StageRecord
from mixdq.compiler.stages import Lane, Outcome, Results, Stage
from mixdq.compiler.worker import Call, Progress
from mixdq.configs.bundle import FileRecord
from mixdq.configs.errors import MachineError, StorageError, TargetError
from mixdq.configs.files import sha256_of_text


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    with Book.open(tmp_path / "out") as book:
        yield book


def stage(
    book: Book,
    name: str,
    call: Call[Any],
    *,
    needs: tuple[str, ...] = (),
    lane: Lane = Lane.FRESH,
    fact: object = None,
    memory_mib: float = 0.0,
    disk_bytes: int = 0,
) -> Stage:
    def facts(done: Results) -> dict[str, object]:
        return {"fact": fact, "needs": [done[need].digests for need in needs]}

    return Stage(
        *(name, book, lane, needs, facts, lambda _: call), memory_mib=memory_mib, disk_bytes=disk_bytes
    )


def chain(jobs: Any, book: Book, first: str, *, lane: Lane = Lane.HERE) -> list[Stage]:
    """a -> b, and c beside them; b's file is the same whatever a's is."""
    return [
        stage(book, "a", Call(jobs.write, (book.root / "a", first)), fact=first, lane=lane),
        stage(book, "b", Call(jobs.write, (book.root / "b", "b")), needs=("a",), lane=lane),
        stage(book, "c", Call(jobs.write, (book.root / "c", "c")), lane=lane),
    ]


def run(stages: list[Stage], jobs_at_once: int = 1, memory_mib: float | None = None) -> Outcome:
    return execute(stages, jobs=jobs_at_once, watch=SilentWatch(), memory_mib=memory_mib)


def started(stages: list[Stage], memory_mib: float) -> list[str]:
    """What a run of two places begins and ends, in order."""
    diary = Diary()
    execute(stages, jobs=2, watch=diary, memory_mib=memory_mib)
    return [line for line in diary.lines if ":" not in line]


class Diary:
    """A watch that writes down what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def started(self, name: str) -> None:
        self.lines.append(f"start {name}")

    def progressed(self, name: str, progress: Progress) -> None:
        self.lines.append(f"{name}: {progress.phase}")

    def finished(self, record: StageRecord) -> None:
        self.lines.append(f"end {record.name}")


def test_a_second_run_does_nothing(jobs: Any, book: Book) -> None:
    assert set(run(chain(jobs, book, "1")).ran) == {"a", "b", "c"}
    again = run(chain(jobs, book, "1"))
    assert again.ran == ()
    assert list(again.results) == ["a", "b", "c"]
    assert again.peak_mib == 0


def test_a_changed_input_redoes_only_what_depends_on_it(jobs: Any, book: Book) -> None:
    run(chain(jobs, book, "1"))
    assert run(chain(jobs, book, "2")).ran == ("a", "b")


def test_a_damaged_file_is_made_again_and_what_depends_on_it_is_not(jobs: Any, book: Book) -> None:
    run(chain(jobs, book, "1"))
    (book.root / "a").write_text("damaged")
    assert run(chain(jobs, book, "1")).ran == ("a",)
    assert (book.root / "a").read_text() == "1"


def test_what_was_done_before_a_failure_is_not_done_again(jobs: Any, book: Book) -> None:
    good = stage(book, "good", Call(jobs.write, (book.root / "good", "x")))
    bad = stage(book, "bad", Call(jobs.refuse), needs=("good",))
    with pytest.raises(TargetError, match="no such thing"):
        run([good, bad])
    mended = stage(book, "bad", Call(jobs.write, (book.root / "bad", "y")), needs=("good",))
    assert run([good, mended]).ran == ("bad",)


def test_two_stages_run_side_by_side_with_two_jobs(jobs: Any, book: Book) -> None:
    first, second = book.root / "first", book.root / "second"
    stages = [
        stage(book, "first", Call(jobs.together, (first, second))),
        stage(book, "second", Call(jobs.together, (second, first))),
    ]
    outcome = run(stages, jobs_at_once=2)
    peaks = [record.peak_mib for record in outcome.results.values()]
    assert outcome.peak_mib == sum(peak for peak in peaks if peak is not None)


def test_stages_of_the_torch_lane_share_one_process_one_after_the_other(jobs: Any, book: Book) -> None:
    diary = Diary()
    stages = [
        stage(book, name, Call(jobs.write_process_id, (book.root / name,)), lane=Lane.TORCH) for name in "ab"
    ]
    outcome = execute(stages, jobs=1, watch=diary)
    assert outcome.results["a"].value == outcome.results["b"].value
    assert [line for line in diary.lines if ":" not in line] == ["start a", "end a", "start b", "end b"]


def test_a_failure_stops_the_stage_beside_it_and_leaves_no_half_file(jobs: Any, book: Book) -> None:
    stages = [
        stage(book, "slow", Call(jobs.half_write, (book.root / "slow",))),
        stage(book, "bad", Call(jobs.refuse)),
    ]
    with pytest.raises(TargetError):
        run(stages, jobs_at_once=2)
    assert [path.name for path in book.root.rglob("*") if path.name.startswith(".slow")] == []
    assert not (book.root / "slow").exists()


def test_a_killed_child_leaves_no_half_file(jobs: Any, book: Book) -> None:
    with pytest.raises(MachineError, match=r"^killed: a step.s process was ended by SIGKILL"):
        run([stage(book, "killed", Call(jobs.half_write_and_die, (book.root / "file",)))])
    assert [path.name for path in book.root.iterdir() if "file" in path.name] == []


def test_ctrl_c_stops_the_children_and_is_passed_on(jobs: Any, book: Book) -> None:
    class Interrupter(Diary):
        def progressed(self, name: str, progress: Progress) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(
            [stage(book, "slow", Call(jobs.half_write, (book.root / "slow",)))], jobs=1, watch=Interrupter()
        )
    assert [path.name for path in book.root.iterdir() if "slow" in path.name] == []


def test_the_seal_survives_a_run_with_nothing_to_do(jobs: Any, tmp_path: Path) -> None:
    seal = tmp_path / "seal"
    with Book.open(tmp_path, seal=seal) as book:
        run(chain(jobs, book, "1"))
        seal.write_text("whole")
        run(chain(jobs, book, "1"))
        assert seal.exists()
        run(chain(jobs, book, "2"))
        assert not seal.exists()


def test_the_watch_hears_of_stages_that_run_and_of_no_others(jobs: Any, book: Book) -> None:
    run(chain(jobs, book, "1"))
    diary = Diary()
    execute(chain(jobs, book, "2"), jobs=1, watch=diary)
    assert diary.lines == ["start a", "end a", "start b", "end b"]


def test_stages_that_exceed_the_memory_together_run_one_after_the_other(jobs: Any, book: Book) -> None:
    stages = [stage(book, name, Call(jobs.write, (book.root / name, name)), memory_mib=5000) for name in "ab"]
    assert started(stages, 9999) == ["start a", "end a", "start b", "end b"]


def test_stages_that_fit_into_the_memory_together_run_side_by_side(jobs: Any, book: Book) -> None:
    first, second = book.root / "first", book.root / "second"
    stages = [
        stage(book, "first", Call(jobs.together, (first, second)), memory_mib=5000),
        stage(book, "second", Call(jobs.together, (second, first)), memory_mib=5000),
    ]
    assert started(stages, 10000)[:2] == ["start first", "start second"]


def test_a_small_stage_runs_beside_a_large_one_while_another_large_one_waits(jobs: Any, book: Book) -> None:
    large, small = book.root / "large", book.root / "small"
    stages = [
        stage(book, "large", Call(jobs.together, (large, small)), memory_mib=800),
        stage(book, "large 2", Call(jobs.write, (book.root / "large 2", "x")), memory_mib=800),
        stage(book, "small", Call(jobs.together, (small, large)), memory_mib=200),
    ]
    assert started(stages, 1000)[:2] == ["start large", "start small"]


def test_memory_that_is_too_small_is_said_before_anything_begins(jobs: Any, tmp_path: Path) -> None:
    seal = tmp_path / "seal"
    seal.write_text("whole")
    diary = Diary()
    with Book.open(tmp_path, seal=seal) as book:
        a, b, c = chain(jobs, book, "1")
        huge = stage(book, "huge", Call(jobs.refuse), needs=("b",), memory_mib=1e9)
        with pytest.raises(
            MachineError, match=r"`huge` needs about 976562\.5 GiB .* machine has \d+\.\d GiB"
        ):
            execute([a, b, c, huge], jobs=2, watch=diary)
    assert diary.lines == []
    assert seal.exists()


def test_a_disk_that_is_too_small_is_said_before_anything_begins(jobs: Any, book: Book) -> None:
    diary = Diary()
    a, b, c = chain(jobs, book, "1")
    huge = stage(book, "huge", Call(jobs.refuse), needs=("b",), disk_bytes=1 << 60)
    with pytest.raises(StorageError, match=r"about 1073741824\.0 GiB will be written to"):
        execute([a, b, c, huge], jobs=2, watch=diary)
    assert diary.lines == []


def test_a_small_machine_can_tell_that_there_is_nothing_to_do(jobs: Any, book: Book) -> None:
    def stages(last: str) -> list[Stage]:
        """Something small changes; what is large is before it, after it and beside it."""
        return [
            stage(book, "before", Call(jobs.write, (book.root / "x", "x")), memory_mib=900),
            stage(book, "last", Call(jobs.write, (book.root / "y", last)), fact=last, needs=("before",)),
            stage(book, "beside", Call(jobs.write, (book.root / "z", "z")), memory_mib=900),
        ]

    run(stages("1"), memory_mib=1000)
    assert run(stages("1"), memory_mib=10).ran == ()
    assert run(stages("2"), memory_mib=10).ran == ("last",)


def test_an_idle_torch_process_ends_when_its_memory_is_needed(jobs: Any, book: Book) -> None:
    def stages(folder: str, memory_mib: float) -> list[Stage]:
        paths = [book.root / folder / name for name in "abc"]
        for path in paths:
            path.parent.mkdir(exist_ok=True)
        a, b, c = (Call(jobs.write_process_id, (path,)) for path in paths)
        return [
            stage(book, "a", a, fact=folder, lane=Lane.TORCH),
            stage(book, "b", b, fact=folder, needs=("a",), memory_mib=memory_mib),
            stage(book, "c", c, fact=folder, needs=("b",), lane=Lane.TORCH),
        ]

    kept = run(stages("1", 100), memory_mib=3000).results
    assert kept["c"].value == kept["a"].value
    ended = run(stages("2", 2900), memory_mib=3000).results
    assert ended["c"].value != ended["a"].value


def test_files_are_hashed_by_the_process_that_wrote_them(jobs: Any, book: Book) -> None:
    diary = Diary()
    written = stage(book, "a", Call(jobs.write, (book.root / "a", "text")))
    outcome = execute([written], jobs=1, watch=diary)
    assert diary.lines == ["start a", "a: hashing", "end a"]
    assert outcome.results["a"].files == (FileRecord("a", sha256_of_text("text"), 4),)
