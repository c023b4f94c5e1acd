from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from mixdq.compiler.records import Book, StageRecord
from mixdq.compiler.room import check_disk, check_memory, memory_for_stages
from mixdq.compiler.stages import Lane, Made, Results, Stage
from mixdq.compiler.worker import Call, Report
from mixdq.configs.bundle import FileRecord
from mixdq.configs.errors import MachineError, StorageError

_GIB = 1 << 30


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    with Book.open(tmp_path / "out") as book:
        yield book


def _nothing(report: Report) -> Made:
    return Made(())


def _facts(done: Results) -> dict[str, object]:
    return {}


def stage(book: Book, name: str, *, gib: float = 0, disk_bytes: int = 0) -> Stage:
    return Stage(
        *(name, book, Lane.FRESH, (), _facts, lambda _: Call(_nothing)),
        memory_mib=gib * 1024,
        disk_bytes=disk_bytes,
    )


def test_the_stage_that_needs_most_is_named_with_its_need_and_what_there_is(book: Book) -> None:
    stages = [
        stage(book, "export unet", gib=6),
        stage(book, "build unet 512 rtx:sm89", gib=17.3),
        stage(book, "build unet 512 rtx:sm120", gib=9.4),
    ]
    with pytest.raises(
        MachineError,
        match=r"`build unet 512 rtx:sm89` needs about 17\.3 GiB .*has 8\.0 GiB for it "
        r"\(too little also for `build unet 512 rtx:sm120`\)\. Nothing was begun\. Close .*--target cpu",
    ):
        check_memory(stages, 8 * 1024)


def test_less_than_a_gib_is_said_in_mib(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        MachineError, match=r"needs about 307 MiB of memory, and this machine has 40 MiB for it"
    ):
        check_memory([stage(book, "export unet", gib=0.3)], 40)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=3 << 20))
    with pytest.raises(StorageError, match=r"about 20 MiB will be written .*there are 3 MiB free"):
        check_disk([stage(book, "a", disk_bytes=20 << 20)])


def test_stages_that_fit_alone_are_admitted_though_they_do_not_fit_together(book: Book) -> None:
    check_memory([stage(book, "a", gib=6), stage(book, "b", gib=8)], 8 * 1024)


def test_nothing_to_do_needs_nothing() -> None:
    check_memory([], 0)
    check_disk([])


def test_a_reserve_is_left_to_the_rest_of_the_machine() -> None:
    assert 0 < memory_for_stages() < shutil.disk_usage("/").total


def test_more_than_the_disk_has_is_refused_with_need_free_and_folder(book: Book) -> None:
    half = int(0.6 * shutil.disk_usage(book.root).free)
    check_disk([stage(book, "a", disk_bytes=half)])
    need = f"{2 * half / _GIB:.1f}"
    with pytest.raises(
        StorageError, match=rf"about {need} GiB will be written to {book.root}, .* [\d.]+ GiB free\. Nothing"
    ):
        check_disk([stage(book, "a", disk_bytes=half), stage(book, "b", disk_bytes=half)])


def test_two_folders_of_one_disk_share_its_space(book: Book, tmp_path: Path) -> None:
    half = int(0.6 * shutil.disk_usage(book.root).free)
    with Book.open(tmp_path / "work") as work, pytest.raises(StorageError, match=r"/out and .*/work"):
        check_disk([stage(book, "a", disk_bytes=half), stage(work, "b", disk_bytes=half)])


def test_what_a_stage_made_before_makes_room_for_its_next_files(book: Book) -> None:
    size = 0.6 * shutil.disk_usage(book.root).free
    for name in "ab":
        # A sparse file: that size without its blocks.
        with (book.root / name).open("wb") as file:
            file.truncate(int(size))
        file_record = FileRecord(name, "0" * 64, int(size))
        book.add(StageRecord(name, "k", (file_record,), None, 1.0, None))
    check_disk([stage(book, name, disk_bytes=int(size)) for name in "ab"])
    with pytest.raises(StorageError):
        check_disk([stage(book, name, disk_bytes=int(2 * size)) for name in "ab"])
