import fcntl
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from signal import Signals

import pytest
from PIL import Image

from mixdq.configs.bundle import Component
from mixdq.configs.errors import EvaluationError, MachineError, MixdqError, RequestError, StorageError
from mixdq.eval.image_set import Arrangement, ImageSet
from mixdq.eval.images.bundle_source import bundle_source
from mixdq.eval.images.draw import DrawReport, draw_set
from mixdq.eval.images.order import Order, order_pictures
from mixdq.eval.images.read import load_image, read_set
from mixdq.eval.images.source import Draw, PictureSource
from mixdq.runtime import load

PROMPTS = ("a", "commas, and 猫", "long " * 100, "d", "e", "f", "g")


def _order(prompts: Sequence[str] = PROMPTS, seed: int = 5) -> tuple[Order, ...]:
    return order_pictures(prompts, seed=seed, start=0, count=None, allow_duplicates=False)


def _source(
    bundle: Path, steps: int = 1, resolution: int = 16, batch: int | None = None, jobs: int | None = None
) -> PictureSource:
    return bundle_source(
        bundle, target="cpu", device="cpu", resolution=resolution, steps=steps, batch=batch, jobs=jobs
    )


def _bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.png")}


def _interrupting(source: PictureSource, calls: int, error: BaseException) -> PictureSource:
    """The source, one call at a time, which fails instead of drawing once more."""
    one_by_one = replace(source.arrangement, jobs=1)

    @contextmanager
    def opened(arrangement: Arrangement) -> Iterator[Draw]:
        left = calls
        with source.open(arrangement) as draw:

            def limited(prompts: Sequence[str], seeds: Sequence[int]) -> list[Image.Image]:
                nonlocal left
                left -= 1
                if left < 0:
                    raise error
                return draw(prompts, seeds)

            yield limited

    return replace(source, arrangement=one_by_one, open=opened)


def test_every_picture_is_its_prompt_s_and_seed_s_alone(tiny_bundle: Path, tmp_path: Path) -> None:
    done = draw_set(_source(tiny_bundle), _order(), tmp_path / "out")
    images = read_set(tmp_path / "out")
    assert (done.count, done.kept, done.drawn, done.redrawn) == (7, 0, 7, 0)
    assert [(one.index, one.prompt, one.seed, one.file) for one in images.images] == [
        (index, prompt, 5 + index, f"000{index}.png") for index, prompt in enumerate(PROMPTS)
    ]
    with load(tiny_bundle) as pipeline:
        for record in images.images:
            alone = pipeline(record.prompt, seed=record.seed, resolution=16)
            assert load_image(tmp_path / "out", record).tobytes() == alone.tobytes()


def test_the_manifest_says_what_drew_the_pictures_and_where(tiny_bundle: Path, tmp_path: Path) -> None:
    draw_set(_source(tiny_bundle, steps=2, resolution=24), _order(), tmp_path)
    images = ImageSet.read(tmp_path)
    painter = images.painter
    assert (painter.kind, painter.model.name, painter.plan, painter.plan_digest) == (
        "bundle",
        "tiny",
        "FP16",
        "1" * 64,
    )
    assert (painter.target, painter.device, painter.scheduler) == ("cpu", "cpu", "euler_ancestral")
    assert (painter.steps, painter.resolution, images.count) == (2, 24, 7)
    assert painter.engines == {
        name: hashlib.sha256((tiny_bundle / name).read_bytes()).hexdigest()
        for name in (
            "text_encoder-None.onnx",
            "text_encoder_2-None.onnx",
            "unet-24.onnx",
            "vae_decoder-24.onnx",
        )
    }
    assert {"mixdq", "onnxruntime", "numpy", "pillow"} <= set(images.versions)
    assert images.machine["processor"]


@pytest.mark.parametrize(("batch", "jobs"), [(None, None), (1, 1), (3, 1), (2, 4)])
def test_groups_and_threads_do_not_matter(
    tiny_bundle: Path, tmp_path: Path, batch: int | None, jobs: int | None
) -> None:
    draw_set(_source(tiny_bundle, batch=batch, jobs=jobs), _order(), tmp_path / "one")
    draw_set(_source(tiny_bundle), _order(), tmp_path / "two")
    assert _bytes(tmp_path / "one") == _bytes(tmp_path / "two")


def test_a_whole_set_is_left_as_it_is(tiny_bundle: Path, tmp_path: Path) -> None:
    draw_set(_source(tiny_bundle), _order(), tmp_path)
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    done = draw_set(_source(tiny_bundle), _order(), tmp_path)
    assert done == DrawReport(str(tmp_path), count=7, kept=7, drawn=0, redrawn=0, seconds=0.0)
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RequestError("not finite")])
def test_an_interrupted_set_keeps_what_is_drawn_and_goes_on(
    tiny_bundle: Path, tmp_path: Path, error: BaseException
) -> None:
    with pytest.raises(type(error)):
        draw_set(_interrupting(_source(tiny_bundle), 2, error), _order(), tmp_path / "out")
    begun = ImageSet.read(tmp_path / "out")
    assert (len(begun.images), begun.count, begun.is_whole) == (4, 7, False)
    with pytest.raises(EvaluationError, match="4 of the 7"):
        read_set(tmp_path / "out")
    done = draw_set(_source(tiny_bundle), _order(), tmp_path / "out")
    assert (done.kept, done.drawn, done.redrawn) == (4, 3, 0)
    draw_set(_source(tiny_bundle), _order(), tmp_path / "at once")
    assert _bytes(tmp_path / "out") == _bytes(tmp_path / "at once")
    assert read_set(tmp_path / "out").images == read_set(tmp_path / "at once").images


def _begin(source: PictureSource, folder: Path) -> None:
    """Draws one call's pictures of the set."""
    with pytest.raises(KeyboardInterrupt):
        draw_set(_interrupting(source, 1, KeyboardInterrupt()), _order(), folder)


def _noting(source: PictureSource, seen: list[Arrangement]) -> PictureSource:
    """The source, which notes how it is opened."""

    def opened(arrangement: Arrangement) -> AbstractContextManager[Draw]:
        seen.append(arrangement)
        return source.open(arrangement)

    return replace(source, open=opened)


def test_a_new_set_says_how_it_was_computed(tiny_bundle: Path, tmp_path: Path) -> None:
    draw_set(_source(tiny_bundle, batch=3, jobs=1), _order(), tmp_path)
    images = ImageSet.read(tmp_path)
    assert images.arrangements == (Arrangement(batch=3, jobs=1, threads=os.cpu_count()),)
    assert images.version == 2


def test_a_set_goes_on_with_the_batch_calls_and_threads_that_it_began_with(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    began = Arrangement(batch=3, jobs=1, threads=7)
    _begin(replace(_source(tiny_bundle), arrangement=began), tmp_path)
    seen: list[Arrangement] = []
    done = draw_set(_noting(_source(tiny_bundle), seen), _order(), tmp_path)
    assert (done.kept, done.drawn) == (3, 4)
    assert _source(tiny_bundle).arrangement != began
    assert seen == [began]
    assert read_set(tmp_path).arrangements == (began,)


def test_a_smaller_batch_is_taken_on_the_way_and_noted(tiny_bundle: Path, tmp_path: Path) -> None:
    _begin(_source(tiny_bundle, batch=3, jobs=1), tmp_path)
    done = draw_set(_source(tiny_bundle, batch=2), _order(), tmp_path)
    assert (done.kept, done.drawn) == (3, 4)
    assert [(each.batch, each.jobs) for each in read_set(tmp_path).arrangements] == [(3, 1), (2, 1)]


@pytest.mark.parametrize(
    ("batch", "jobs", "message"),
    [
        (None, 2, "drawn with --jobs 1, now --jobs 2 is asked for.*; leave it out, or start another folder"),
        (4, None, "drawn with --batch 3, now --batch 4 is asked for.*; leave it out, or make it smaller"),
        (2, 2, "--jobs 1, now --jobs 2"),
    ],
)
def test_another_arrangement_does_not_go_on_with_a_set(
    tiny_bundle: Path, tmp_path: Path, batch: int | None, jobs: int | None, message: str
) -> None:
    out = tmp_path / "out"
    _begin(_source(tiny_bundle, batch=3, jobs=1), out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(EvaluationError, match=message):
        draw_set(_source(tiny_bundle, batch=batch, jobs=jobs), _order(), out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_the_same_options_go_on_with_a_set(tiny_bundle: Path, tmp_path: Path) -> None:
    _begin(_source(tiny_bundle, batch=3, jobs=1), tmp_path)
    assert draw_set(_source(tiny_bundle, batch=3, jobs=1), _order(), tmp_path).drawn == 4
    assert len(read_set(tmp_path).arrangements) == 1


def test_a_set_of_no_pictures_yet_takes_any_arrangement(tiny_bundle: Path, tmp_path: Path) -> None:
    source = _source(tiny_bundle, batch=2, jobs=1)
    with pytest.raises(KeyboardInterrupt):
        draw_set(_interrupting(source, 0, KeyboardInterrupt()), _order(), tmp_path)
    assert ImageSet.read(tmp_path).images == ()
    draw_set(_source(tiny_bundle, batch=4, jobs=2), _order(), tmp_path)
    assert [(each.batch, each.jobs) for each in read_set(tmp_path).arrangements] == [(4, 2)]


def test_a_set_of_the_first_version_is_read_and_not_added_to(tiny_bundle: Path, tmp_path: Path) -> None:
    draw_set(_source(tiny_bundle), _order(), tmp_path)
    plain = json.loads((tmp_path / "manifest.json").read_text())
    del plain["arrangements"]
    (tmp_path / "manifest.json").write_text(json.dumps(plain | {"version": 1}))
    assert draw_set(_source(tiny_bundle), _order(), tmp_path).kept == 7
    (tmp_path / "0003.png").unlink()
    with pytest.raises(EvaluationError, match="does not say with which threads and batch"):
        draw_set(_source(tiny_bundle), _order(), tmp_path)


def test_a_run_that_drew_nothing_leaves_no_folder(tiny_bundle: Path, tmp_path: Path) -> None:
    (tiny_bundle / "unet-16.onnx").write_bytes(b"damaged")
    with pytest.raises(MixdqError, match="unet-16"):
        draw_set(_source(tiny_bundle), _order(), tmp_path / "in" / "a folder")
    assert not (tmp_path / "in").exists()


def test_a_run_that_drew_nothing_leaves_what_others_put_beside_it(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("")
    (tiny_bundle / "unet-16.onnx").write_bytes(b"damaged")
    with pytest.raises(MixdqError):
        draw_set(_source(tiny_bundle), _order(), tmp_path / "mine" / "out")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_damaged_and_missing_pictures_are_drawn_anew(tiny_bundle: Path, tmp_path: Path) -> None:
    draw_set(_source(tiny_bundle), _order(), tmp_path)
    before, written = _bytes(tmp_path), (tmp_path / "0001.png").stat().st_mtime_ns
    (tmp_path / "0002.png").write_bytes(before["0002.png"][:-9])
    (tmp_path / "0005.png").unlink()
    done = draw_set(_source(tiny_bundle), _order(), tmp_path)
    assert (done.kept, done.drawn, done.redrawn) == (5, 2, 2)
    assert _bytes(tmp_path) == before
    assert (tmp_path / "0001.png").stat().st_mtime_ns == written  # beside what is drawn
    read_set(tmp_path)


def test_a_manifest_whose_records_were_edited_is_mended(tiny_bundle: Path, tmp_path: Path) -> None:
    draw_set(_source(tiny_bundle), _order(), tmp_path)
    before = ImageSet.read(tmp_path)
    edited = replace(before.images[1], prompt="something else")
    replace(before, images=(before.images[0], edited, *before.images[2:])).write(tmp_path)
    assert draw_set(_source(tiny_bundle), _order(), tmp_path).redrawn == 1
    assert read_set(tmp_path) == before


Change = Callable[[Path, Path], None]


def _another_seed(bundle: Path, out: Path) -> None:
    draw_set(_source(bundle), _order(seed=6), out)


def _another_prompt(bundle: Path, out: Path) -> None:
    draw_set(_source(bundle), _order((*PROMPTS[:3], "D", *PROMPTS[4:])), out)


def _fewer(bundle: Path, out: Path) -> None:
    draw_set(_source(bundle), _order(PROMPTS[:3]), out)


def _more_steps(bundle: Path, out: Path) -> None:
    draw_set(_source(bundle, steps=4), _order(), out)


def _larger(bundle: Path, out: Path) -> None:
    draw_set(_source(bundle, resolution=24), _order(), out)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_another_seed, "the seed of picture 0 was 5, is 6"),
        (_another_prompt, "prompt 3 was 'd', is 'D'"),
        (_fewer, "7 pictures were asked for, now 3"),
        (_more_steps, "its steps was 1, is 4"),
        (
            _larger,
            r"its engines differ in unet-16\.onnx, unet-24\.onnx, vae_decoder-16\.onnx, vae_decoder-24\.onnx"
            "; its resolution was 16, is 24",
        ),
    ],
)
def test_a_folder_of_another_run_is_refused_and_the_difference_named(
    tiny_bundle: Path, tmp_path: Path, change: Change, message: str
) -> None:
    draw_set(_source(tiny_bundle), _order(), tmp_path)
    before = _bytes(tmp_path)
    with pytest.raises(EvaluationError, match=rf"of another run: {message}.*; choose another --out"):
        change(tiny_bundle, tmp_path)
    assert _bytes(tmp_path) == before


def test_another_version_does_not_go_on_with_a_set(tiny_bundle: Path, tmp_path: Path) -> None:
    draw_set(_source(tiny_bundle), _order(), tmp_path)
    images = ImageSet.read(tmp_path)
    older = {**images.versions, "onnxruntime": "1.0"}
    replace(images, versions=older).write(tmp_path)
    assert draw_set(_source(tiny_bundle), _order(), tmp_path).drawn == 0
    replace(images, versions=older, images=images.images[:2]).write(tmp_path)
    with pytest.raises(EvaluationError, match=r"begun elsewhere: onnxruntime was 1\.0, is"):
        draw_set(_source(tiny_bundle), _order(), tmp_path)


def test_a_folder_with_other_pictures_is_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    Image.new("RGB", (16, 16)).save(tmp_path / "cat.png")
    with pytest.raises(EvaluationError, match=r"cat\.png; move"):
        draw_set(_source(tiny_bundle), _order(), tmp_path)


def test_a_folder_that_another_process_draws_into_is_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    with (tmp_path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(MachineError, match="another mixdq process"):
            draw_set(_source(tiny_bundle), _order(), tmp_path)


def test_a_folder_that_is_a_file_is_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(StorageError, match="choose another folder"):
        draw_set(_source(tiny_bundle), _order(), tmp_path / "out")


def test_memory_that_runs_out_is_one_error_that_names_the_remedies(
    tiny_bundle: Path, tmp_path: Path, swap_engine: Callable[[Component, str], None]
) -> None:
    swap_engine(
        Component.VAE_DECODER,
        """<ir_version: 10, opset_import: ["" : 20]>
        vae (float[2,4,2,2] latents) => (float[2,3,16,16] images)
        <int64[5] petabytes = {1099511627776, 2, 4, 2, 2}, int64[1] first = {0}, int64[3] rgb = {0, 1, 2},
         float[4] scales = {1.0, 1.0, 8.0, 8.0}> {
            many = Expand (latents, petabytes)
            mean = ReduceMean <keepdims=0> (many, first)
            channels = Gather <axis=1> (mean, rgb)
            images = Resize <mode="nearest"> (channels, "", scales)
        }""",
    )
    with pytest.raises(MachineError, match=r"smaller --batch than 4: .*another folder with --jobs 1"):
        draw_set(_source(tiny_bundle, batch=4, jobs=2), _order(), tmp_path / "out")


def test_values_that_are_not_finite_end_the_run(
    tiny_bundle: Path, tmp_path: Path, swap_engine: Callable[[Component, str], None]
) -> None:
    swap_engine(
        Component.VAE_DECODER,
        """<ir_version: 10, opset_import: ["" : 20]>
        vae (float[2,4,2,2] latents) => (float[2,3,16,16] images)
        <int64[3] rgb = {0, 1, 2}, float[4] scales = {1.0, 1.0, 8.0, 8.0}, float zero = {0.0}> {
            channels = Gather <axis=1> (latents, rgb)
            broken = Div (channels, zero)
            images = Resize <mode="nearest"> (broken, "", scales)
        }""",
    )
    with pytest.raises(MixdqError, match="not finite numbers"):
        draw_set(_source(tiny_bundle), _order(), tmp_path / "out")


def test_progress_counts_from_what_is_there_to_all(tiny_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        draw_set(_interrupting(_source(tiny_bundle), 2, KeyboardInterrupt()), _order(), tmp_path)
    seen: list[tuple[int, int]] = []
    draw_set(_source(tiny_bundle), _order(), tmp_path, lambda done, total: seen.append((done, total)))
    assert seen == [(4, 7), (5, 7), (6, 7), (7, 7)]


@pytest.mark.parametrize(("signal", "code"), [(Signals.SIGKILL, -9), (Signals.SIGINT, 130)])
def test_a_process_that_is_stopped_in_the_middle_leaves_a_set_that_goes_on(
    tiny_bundle: Path, tmp_path: Path, signal: Signals, code: int
) -> None:
    prompts, count = tmp_path / "prompts.json", 400
    prompts.write_text(json.dumps([f"prompt {number}" for number in range(count)]))
    words = ["images", tiny_bundle, "--prompts", prompts, "--resolution", "16", "--seed", "5", "--json"]
    program = [sys.executable, "-c", "from mixdq.eval.cli import main; main()", *map(str, words), "--out"]
    out = tmp_path / "out"
    process = subprocess.Popen([*program, str(out)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while not (out / "0040.png").exists():
        assert process.poll() is None
    process.send_signal(signal)
    _, error = process.communicate()
    assert process.returncode == code
    assert error.count(b"\n") == (code == 130)
    written, noted = len(_bytes(out)), len(ImageSet.read(out).images)
    # Several threads write: the picture behind 0039.png may be there before it.
    assert 0 < written < count
    assert noted <= written if code == -9 else noted == written
    (out / f".0041.png.{process.pid}.part").write_bytes(b"half a picture")
    done = subprocess.run([*program, str(out)], capture_output=True, text=True, check=True)
    report = json.loads(done.stdout)
    assert (report["kept"], report["drawn"]) == (noted, count - noted)
    assert read_set(out).is_whole
    assert not list(out.glob(".*.part"))
    with load(tiny_bundle) as pipeline:
        for index in (0, 40, 41, count - 1):
            alone = pipeline(f"prompt {index}", seed=5 + index, resolution=16)
            assert Image.open(out / f"{index:04d}.png").tobytes() == alone.tobytes()
