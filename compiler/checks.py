"""Which recorded files are intact: read by several threads, and ahead of the question."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

from mixdq.configs.bundle import FileRecord

# More would only make the disk's reads cross one another.
_THREADS = min(4, os.cpu_count() or 1)


class Checks:
    """Hashes recorded files of one folder in the background.

    Hashing frees the interpreter's lock, so threads use several cores. They are daemons of its own rather
    than a pool's, which Ctrl-C would wait for: one may be in the middle of a file of gigabytes.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._queue: SimpleQueue[tuple[FileRecord, Future[bool]] | None] = SimpleQueue()
        self._asked: dict[FileRecord, Future[bool]] = {}
        self._threads: list[Thread] = []

    def ask(self, files: Iterable[FileRecord]) -> None:
        """Begins to read files that are not asked for yet, behind those that are."""
        for file in files:
            if file not in self._asked:
                self._asked[file] = Future()
                self._queue.put((file, self._asked[file]))
        if self._asked and not self._threads:
            self._threads = [Thread(target=self._read, daemon=True) for _ in range(_THREADS)]
            for thread in self._threads:
                thread.start()

    def are_intact(self, files: Iterable[FileRecord]) -> bool:
        """Whether all files are there with the bytes of their records; waits for the answer.

        An answer is given once: the next question reads the files again.
        """
        distinct = list(dict.fromkeys(files))
        self.ask(distinct)
        answers = [self._asked.pop(file) for file in distinct]
        return all(answer.result() for answer in answers)

    def drop(self) -> None:
        """Forgets all answers and open questions: files may change from now on."""
        for answer in self._asked.values():
            answer.cancel()
        self._asked.clear()

    def close(self) -> None:
        """Ends the threads, each after the file that it reads."""
        self.drop()
        for _ in self._threads:
            self._queue.put(None)

    def _read(self) -> None:
        while (question := self._queue.get()) is not None:
            file, answer = question
            if not answer.set_running_or_notify_cancel():
                continue
            try:
                answer.set_result(file.is_intact(self._root))
            except Exception as error:  # noqa: BLE001 (a defect: whoever waits for the answer must see it)
                answer.set_exception(error)
