"""Features of a set of pictures, block by block, kept in files so that they are computed once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import PIL
import torch

from mixdq.configs.errors import EvaluationError
from mixdq.configs.files import sha256_of_text, writing
from mixdq.eval.quality.found import Report
from mixdq.eval.quality.networks import FeatureNetwork
from mixdq.eval.quality.pictures import PictureSet
from mixdq.eval.quality.resize import Pixels
from mixdq.eval.scorers.computing import computing

CACHE_FOLDER = ".features"
"""Beside a set's pictures, where no other folder is asked for."""

Features = npt.NDArray[np.float64]
"""`[picture, feature]`."""

_BLOCK = 256
"""Pictures of one file: what is lost at most when a run is stopped."""

_FORMAT = "features 2"
"""Part of each file's name; to be changed with whatever changes the numbers (resizing, scaling)."""

_DIGEST_BYTES = 32
"""Of the SHA-256 at the end of each file, after what `numpy.save` wrote."""

_NAMED = 5


def extract(
    network: FeatureNetwork, pictures: PictureSet, cache: Path | None, batch: int, report: Report
) -> Features:
    """The features of every picture of a set, in its order.

    Blocks of pictures are kept in files that are named by all that their digits depend on: the digests of
    pictures and network, the resizing, the device, the batch, and the versions of torch, NumPy and Pillow. A
    block that is there and undamaged is not computed again, by whichever run or set it was made.

    Args:
        network: what computes them.
        pictures: the set.
        cache: the files' folder; None for `.features` in the set's own.
        batch: pictures at a time.
        report: progress.

    Raises:
        EvaluationError: pictures that can't be decoded, or features that are not finite.
        MachineError: memory ran out.
        StorageError: the cache can't be written.
    """
    folder = cache or pictures.folder / CACHE_FOLDER
    count = len(pictures.digests)
    blocks = []
    for start in range(0, count, _BLOCK):
        places = range(start, min(start + _BLOCK, count))
        path = folder / f"{_key(network, batch, [pictures.digests[place] for place in places])}.npy"
        found = _read(path, len(places))
        if found is None:
            found = _compute(network, pictures, places, batch, lambda done: report(done, count))
            with writing(path) as temporary:
                temporary.write_bytes(_packed(found))
        blocks.append(found)
        report(places.stop, count)
    return np.concatenate(blocks).astype(np.float64)


def _key(network: FeatureNetwork, batch: int, digests: Sequence[str]) -> str:
    versions = (torch.__version__, np.__version__, PIL.__version__)
    parts = (_FORMAT, *versions, network.sha256, network.resize, network.device, str(batch), *digests)
    return sha256_of_text("\n".join(parts))[:32]


def _packed(features: npt.NDArray[np.float32]) -> bytes:
    stream = BytesIO()
    np.save(stream, features)
    return stream.getvalue() + sha256(stream.getvalue()).digest()


def _read(path: Path, count: int) -> npt.NDArray[np.float32] | None:
    """A kept block; None if there is none that is undamaged: it is computed again."""
    try:
        content = path.read_bytes()
        stored, digest = content[:-_DIGEST_BYTES], content[-_DIGEST_BYTES:]
        if sha256(stored).digest() != digest:
            return None
        found = np.load(BytesIO(stored), allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    fits = isinstance(found, np.ndarray) and found.ndim == 2 and len(found) == count
    return found if fits and found.dtype == np.float32 and np.isfinite(found).all() else None


def _compute(
    network: FeatureNetwork, pictures: PictureSet, places: range, batch: int, report: Callable[[int], None]
) -> npt.NDArray[np.float32]:
    parts = [
        range(start, min(start + batch, places.stop)) for start in range(places.start, places.stop, batch)
    ]
    rows, faults, done = [], [], places.start
    with _workers(network.device) as pool:
        for part, found in zip(parts, pool.map(partial(_part, network, pictures), parts), strict=True):
            faults += found.faults
            rows.append(found.rows)
            done += len(part)
            report(done)
    if faults:
        more = f" (and {len(faults) - _NAMED} more)" if len(faults) > _NAMED else ""
        raise EvaluationError("; ".join(faults[:_NAMED]) + more)
    features = np.concatenate(rows)
    if not np.isfinite(features).all():
        raise EvaluationError(
            f"the features of {pictures.folder} are not finite: the weights {network.sha256[:16]}… are "
            "damaged; fetch them again"
        )
    return features


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Features of some pictures; none if some of these can't be decoded, and why not."""

    rows: npt.NDArray[np.float32]
    faults: list[str]


def _part(network: FeatureNetwork, pictures: PictureSet, places: range) -> _Part:
    read, faults = [], []
    for place in places:
        try:
            read.append(network.read(pictures.load(place)))
        except EvaluationError as fault:
            faults.append(str(fault))
    return _Part(np.zeros((0, 0), np.float32) if faults else _forward(network, read), faults)


def _forward(network: FeatureNetwork, read: Sequence[Pixels]) -> npt.NDArray[np.float32]:
    """Features of a batch; of pictures of several sizes, one at a time."""
    together = len({pixels.shape for pixels in read}) == 1
    inputs = [np.stack(read)] if together else [pixels[None] for pixels in read]
    with computing(network.device, len(read)):
        rows = [network.module(torch.from_numpy(part).to(network.device)) for part in inputs]
        return torch.cat(rows).float().cpu().numpy()


@contextmanager
def _workers(device: str) -> Iterator[ThreadPoolExecutor]:
    """Threads that compute batches side by side on the CPU, each on one core; one thread for a GPU.

    A network of small layers spends most of two cores' time in waiting for the other core, the more so on a
    busy machine; and the digits don't depend on the number of cores.
    """
    threads, alone = torch.get_num_threads(), device != "cpu"
    pool = ThreadPoolExecutor(
        1 if alone else threads, initializer=torch.set_num_threads, initargs=(threads if alone else 1,)
    )
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)
