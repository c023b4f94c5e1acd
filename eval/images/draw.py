"""A set of pictures, drawn side by side and written one by one."""

from __future__ import annotations

import hashlib
import io
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from PIL.Image import Image
from pydantic.dataclasses import dataclass

from mixdq.configs.documents import STRICT
from mixdq.configs.files import writing
from mixdq.configs.machine import describe_machine, installed_versions
from mixdq.eval.image_set import Arrangement, ImageRecord, ImageSet
from mixdq.eval.images.arrange import settle
from mixdq.eval.images.order import Order, order_digest
from mixdq.eval.images.progress import SetProgress, at_work_in
from mixdq.eval.images.remains import Remains, check_surroundings, find_remains
from mixdq.eval.images.source import PictureSource, explaining_memory

T = TypeVar("T")
U = TypeVar("U")

_COMPRESSION = 4
"""Of zlib: from 4 to 6 a picture of emoji-turbo shrinks by 4 %, and takes three times as long."""

_WRITERS = 2


@dataclass(frozen=True, slots=True, config=STRICT)
class DrawReport:
    """What one run did to a folder.

    Attributes:
        folder: of the pictures and the manifest.
        count: pictures of the set.
        kept: that were there already.
        drawn: in this run.
        redrawn: of these, how many replaced a file that was damaged or missing.
        seconds: for those that were drawn, engines' loading included; 0 if none was.
    """

    folder: str
    count: int
    kept: int
    drawn: int
    redrawn: int
    seconds: float

    def in_words(self) -> str:
        """One line for people."""
        if not self.drawn:
            return f"{self.folder}: all {self.count} pictures were there, none damaged"
        redrawn = f" ({self.redrawn} of them anew: damaged or missing)" if self.redrawn else ""
        each = f"{self.seconds:.1f} s, {1000 * self.seconds / self.drawn:.0f} ms each"
        new = f"{self.drawn} drawn{redrawn} in {each}"
        return f"{self.folder}: {self.count} pictures, {self.kept} were there, {new}"


def draw_set(
    source: PictureSource,
    pictures: Sequence[Order],
    folder: Path,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> DrawReport:
    """Draws what is missing of a set, and writes the manifest.

    Each file is whole or absent. The manifest is at most a few seconds behind them, so after Ctrl-C or the
    process' death the same call goes on where it stopped; what is damaged by then is drawn again.

    The same call on the same machine and versions gives the same bytes, interrupted or not: a picture
    depends on its prompt and seed, and pictures are computed together in the same groups, by as many threads,
    however many are missing: both are the first run's, from the manifest. With others the last bits of the
    arithmetic differ, and with them pixels, of an 8-bit network sometimes many. So a set whose batch was made
    smaller on the way is not bit for bit that of one run: its manifest lists more than one arrangement.

    A folder that this call made, and drew nothing into, is removed if it fails.

    Args:
        source: what draws.
        pictures: what to draw.
        folder: where to; made if it is not there.
        report: called with the number of pictures that are there, and of all.

    Raises:
        EvaluationError: the folder holds something else, or pictures that were computed otherwise than is
            asked for.
        MachineError: memory ran out, or another process is at work there.
        StorageError: the disk is full.
        MixdqError: whatever the source refuses.
    """
    with at_work_in(folder):
        remains = find_remains(folder, source.painter, pictures)
        arrangement = settle(folder, source, remains.arrangements)
        report(len(remains.records), len(pictures))
        seconds = 0.0
        if len(remains.records) < len(pictures):
            began = time.perf_counter()
            _draw_missing(source, arrangement, pictures, folder, remains, report)
            seconds = time.perf_counter() - began
    return DrawReport(
        folder=str(folder),
        count=len(pictures),
        kept=len(remains.records),
        drawn=len(pictures) - len(remains.records),
        redrawn=len(remains.damaged),
        seconds=round(seconds, 3),
    )


def _draw_missing(
    source: PictureSource,
    arrangement: Arrangement,
    pictures: Sequence[Order],
    folder: Path,
    remains: Remains,
    report: Callable[[int, int], None],
) -> None:
    machine, versions = describe_machine(), installed_versions("mixdq", "pillow", *source.libraries)
    check_surroundings(folder, machine, versions)
    there = {record.index for record in remains.records}
    batch, used = arrangement.batch, remains.arrangements
    groups = [pictures[start : start + batch] for start in range(0, len(pictures), batch)]
    missing = [group for group in groups if not there.issuperset(one.index for one in group)]
    images = ImageSet(
        painter=source.painter,
        prompts_digest=order_digest(pictures),
        count=len(pictures),
        images=remains.records,
        machine=machine,
        versions=versions,
        arrangements=used if used[-1:] == (arrangement,) else (*used, arrangement),
    )
    with (
        explaining_memory(arrangement),
        source.open(arrangement) as draw,
        SetProgress(folder, images, report) as progress,
        _threads(arrangement.jobs) as painters,
        # After an error or Ctrl-C, what is drawn is still written: unlike the painters' its queue is short.
        ThreadPoolExecutor(_WRITERS) as writers,
    ):

        def paint(group: Sequence[Order]) -> list[tuple[Order, Image]]:
            drawn = draw([one.prompt for one in group], [one.seed for one in group])
            return [pair for pair in zip(group, drawn, strict=True) if pair[0].index not in there]

        painted = _in_order(painters, paint, missing, arrangement.jobs + 1)
        fresh = (pair for group in painted for pair in group)
        for _ in _in_order(writers, lambda pair: progress.add(_save(folder, *pair)), fresh, 2 * _WRITERS):
            pass


class _threads(ThreadPoolExecutor):  # noqa: N801 (a context manager)
    """Threads that start nothing new once the block is left."""

    def __exit__(self, *_: object) -> None:
        self.shutdown(wait=True, cancel_futures=True)


def _in_order(pool: Executor, function: Callable[[T], U], items: Iterable[T], ahead: int) -> Iterator[U]:
    """The results in the items' order, while the pool is at most `ahead` of whoever asks for them."""
    waiting: deque[Future[U]] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) == ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _save(folder: Path, order: Order, image: Image) -> ImageRecord:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=_COMPRESSION)
    content = buffer.getvalue()
    with writing(folder / order.file) as temporary:
        temporary.write_bytes(content)
    return ImageRecord(order.index, order.prompt, order.seed, order.file, hashlib.sha256(content).hexdigest())
