from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from mixdq.compiler.records import STAGES_FILE, Book, StageRecord, key_of
from mixdq.configs.bundle import FileRecord
from mixdq.configs.errors import MachineError, StorageError


def write(root: Path, name: str, text: str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def add(book: Book, name: str, key: str, *paths: Path) -> None:
    files = tuple(FileRecord.of(book.root, path) for path in paths)
    book.add(StageRecord(name, key, files, {"some": 1}, 0.5, 12.0))


def test_a_record_is_found_by_the_next_process(tmp_path: Path) -> None:
    with Book.open(tmp_path) as book:
        add(book, "export", "k1", write(tmp_path, "sub/a.onnx", "graph"))
    with Book.open(tmp_path) as book:
        record = book.find("export", "k1")
        assert record is not None
        assert record.value == {"some": 1}
        assert record.files[0].path == "sub/a.onnx"
        assert book.find("export", "k2") is None
        assert book.find("other", "k1") is None


def test_a_changed_file_makes_its_stage_stale_even_with_the_same_size_and_time(tmp_path: Path) -> None:
    with Book.open(tmp_path) as book:
        path = write(tmp_path, "a", "1234")
        before = path.stat().st_mtime_ns
        add(book, "export", "k", path)
        path.write_text("1235")
        os.utime(path, ns=(before, before))
        assert book.find("export", "k") is None


def test_a_file_that_can_not_be_read_makes_its_stage_stale(tmp_path: Path) -> None:
    with Book.open(tmp_path) as book:
        path = write(tmp_path, "sub/a", "1234")
        add(book, "export", "k", path)
        path.unlink()
        path.parent.rmdir()
        write(tmp_path, "sub", "a file where the folder was")
        assert book.find("export", "k") is None
        (tmp_path / "sub").unlink()
        path.mkdir(parents=True)
        record = FileRecord("sub/a", "0" * 64, path.stat().st_size)
        assert not record.is_intact(tmp_path)


def test_a_touched_file_with_the_same_bytes_is_intact(tmp_path: Path) -> None:
    path = write(tmp_path, "a", "1234")
    record = FileRecord.of(tmp_path, path)
    os.utime(path, ns=(1, 1))
    assert record.is_intact(tmp_path)


def test_a_missing_file_makes_its_stage_stale(tmp_path: Path) -> None:
    with Book.open(tmp_path) as book:
        path = write(tmp_path, "a", "1234")
        add(book, "export", "k", path)
        path.unlink()
        assert book.find("export", "k") is None


def test_a_damaged_stages_file_means_that_nothing_is_done(tmp_path: Path) -> None:
    with Book.open(tmp_path) as book:
        add(book, "export", "k", write(tmp_path, "a", "1"))
    (tmp_path / STAGES_FILE).write_text('{"stages": [')
    with Book.open(tmp_path) as book:
        assert book.find("export", "k") is None


def test_two_runs_in_one_folder_are_refused(tmp_path: Path) -> None:
    with (
        Book.open(tmp_path),
        pytest.raises(MachineError, match=r"another mixdq process is at work in .*wait"),
        Book.open(tmp_path),
    ):
        pass
    with Book.open(tmp_path):
        pass


def test_a_folder_that_can_not_be_made_is_a_storage_error(tmp_path: Path) -> None:
    write(tmp_path, "file", "x")
    with pytest.raises(StorageError, match="choose another folder"), Book.open(tmp_path / "file" / "out"):
        pass


def test_what_a_killed_run_left_half_written_goes_when_the_folder_is_opened(tmp_path: Path) -> None:
    left = write(tmp_path, "engines/.unet.engine.123.part", "half")
    kept = write(tmp_path, "engines/unet.engine", "whole")
    with Book.open(tmp_path):
        assert not left.exists()
        assert kept.exists()


def test_pruning_removes_the_files_of_forgotten_stages_alone(tmp_path: Path) -> None:
    with Book.open(tmp_path) as book:
        shared, old = write(tmp_path, "shared", "s"), write(tmp_path, "old", "o")
        add(book, "build 128", "k", shared)
        add(book, "build 256", "k", shared, old)
        book.prune(["build 128"])
        assert shared.exists()
        assert not old.exists()
        assert book.find("build 256", "k") is None
    with Book.open(tmp_path) as book:
        assert book.find("build 128", "k") is not None


def test_a_look_ahead_finds_the_damage_of_one_file_among_many(tmp_path: Path) -> None:
    names = [f"build {number}" for number in range(20)]
    with Book.open(tmp_path) as book:
        for name in names:
            add(
                book, name, "k", write(tmp_path, f"{name}/engine", name), write(tmp_path, f"{name}/cache", "")
            )
        write(tmp_path, "build 7/engine", "build 8")
        book.look_ahead([*names, "unknown"])
        assert [name for name in names if book.find(name, "k") is None] == ["build 7"]


def test_what_was_looked_up_ahead_is_read_again_after_it_was_written_anew(tmp_path: Path) -> None:
    with Book.open(tmp_path) as book:
        add(book, "a", "k", write(tmp_path, "shared", "before"))
        book.look_ahead(["a"])
        book.begin()
        add(book, "b", "k", write(tmp_path, "shared", "after"))
        assert book.find("a", "k") is None


def test_what_was_not_looked_up_ahead_in_time_is_still_found(tmp_path: Path) -> None:
    names = [f"build {number}" for number in range(200)]
    with Book.open(tmp_path) as book:
        for name in names:
            add(book, name, "k", write(tmp_path, name, name))
        book.look_ahead(names)
        book.begin()
        assert all(book.find(name, "k") is not None for name in names)


def test_a_broken_seal_is_no_file_that_was_found_intact(tmp_path: Path) -> None:
    seal = write(tmp_path, "bundle.json", "{}")
    with Book.open(tmp_path, seal=seal) as book:
        add(book, "bundle", "k", seal)
        book.look_ahead(["bundle"])
        book.begin()
        assert book.find("bundle", "k") is None


def test_an_answer_is_given_once(tmp_path: Path) -> None:
    with Book.open(tmp_path) as book:
        path = write(tmp_path, "a", "1234")
        add(book, "export", "k", path)
        assert book.find("export", "k") is not None
        path.write_text("1235")
        assert book.find("export", "k") is None


def test_the_threads_that_look_ahead_end_with_the_book(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    with Book.open(tmp_path) as book:
        add(book, "a", "k", write(tmp_path, "a", "1"))
        assert book.find("a", "k") is not None
        started = set(threading.enumerate()) - before
        assert started
    for thread in started:
        thread.join(30)
        assert not thread.is_alive()


def test_a_stage_that_makes_other_files_leaves_none_of_its_old_ones(tmp_path: Path) -> None:
    with Book.open(tmp_path) as book:
        old, shared = write(tmp_path, "unet-512.onnx", "old"), write(tmp_path, "unet.weights", "w")
        add(book, "graphs", "k1", old, shared)
        add(book, "build", "k", shared)
        assert book.bytes_of("graphs") == 4
        add(book, "graphs", "k2", write(tmp_path, "unet-768.onnx", "larger"))
        assert not old.exists()
        assert shared.exists()
        assert book.bytes_of("graphs") == 6
        assert book.bytes_of("never made") == 0


def test_the_seal_breaks_before_anything_changes(tmp_path: Path) -> None:
    seal = write(tmp_path, "bundle.json", "{}")
    with Book.open(tmp_path, seal=seal) as book:
        assert seal.exists()
        book.begin()
        assert not seal.exists()


def test_a_key_depends_on_the_name_and_on_every_fact() -> None:
    keys = {
        key_of("a", {"x": 1}),
        key_of("b", {"x": 1}),
        key_of("a", {"x": 2}),
        key_of("a", {"x": 1, "y": 0}),
    }
    assert len(keys) == 4
    assert key_of("a", {"x": 1, "y": 2}) == key_of("a", {"y": 2, "x": 1})
