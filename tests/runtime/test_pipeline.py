"""Pictures of the tiny bundle against the same arithmetic written out here."""

from collections.abc import Callable
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from PIL.Image import Image
from tokenizers import Tokenizer

from mixdq.configs.bundle import Component
from mixdq.configs.errors import RequestError
from mixdq.runtime import load

SwapEngine = Callable[[Component, str], None]
SIGMA = np.float32(14.614647)


def _ids(root: Path, prompt: str, pad: int) -> list[int]:
    letters = Tokenizer.from_file(str(root / "tokenizer.json")).encode(prompt).ids
    return letters + [pad] * (77 - len(letters))


def _expected(root: Path, prompt: str, seed: int, side: int) -> np.ndarray:
    """What the graphs of the tiny bundle compute, in NumPy; see their docstrings."""
    first, second = _ids(root, prompt, 257), _ids(root, prompt, 0)
    text = (2 * np.mean(first) + 3 * np.mean(second)) / 5 * 0.1
    pooled = second[3] * 0.1
    noise = np.random.Generator(np.random.Philox(seed)).standard_normal((4, side, side), dtype=np.float32)
    time_ids = 4 * 8 * side / 6
    flat = 0.999 + 0.01 * text + 0.02 * pooled + 0.0001 * time_ids
    sample = noise * SIGMA
    latents = sample - SIGMA * (0.1 * sample / np.sqrt(SIGMA**2 + 1) + flat)
    pixels = (latents[:3] / 0.5 * 0.05).repeat(8, axis=1).repeat(8, axis=2)
    return np.asarray((pixels / 2 + 0.5).clip(0, 1) * 255).transpose(1, 2, 0)


def _assert_same(image: Image, expected: np.ndarray) -> None:
    assert image.mode == "RGB"
    np.testing.assert_allclose(np.asarray(image, dtype=np.float64), expected, atol=0.51)


@pytest.mark.parametrize("resolution", [16, 24])
@pytest.mark.parametrize("prompt", ["abc", "zz top"])
def test_a_picture_is_what_the_graphs_compute(tiny_bundle: Path, prompt: str, resolution: int) -> None:
    image = load(tiny_bundle)(prompt, seed=5, resolution=resolution)
    assert image.size == (resolution, resolution)
    _assert_same(image, _expected(tiny_bundle, prompt, 5, resolution // 8))


def test_the_same_seed_gives_the_same_picture_and_another_seed_another(tiny_bundle: Path) -> None:
    first = load(tiny_bundle)("abc", seed=5, resolution=24)
    again = load(tiny_bundle)("abc", seed=5, resolution=24)
    other = load(tiny_bundle)("abc", seed=6, resolution=24)
    assert first.tobytes() == again.tobytes() != other.tobytes()


@pytest.mark.parametrize("steps", [1, 3])
def test_a_picture_is_the_same_alone_and_among_more_than_a_batch(tiny_bundle: Path, steps: int) -> None:
    pipeline = load(tiny_bundle)
    prompts, seeds = ["abc", "def", "a", "zyx", ""], [1, 2, 3, 4, 5]
    together = pipeline(prompts, seed=seeds, resolution=16, steps=steps)
    assert len(together) == 5
    for prompt, seed, image in zip(prompts, seeds, together, strict=True):
        alone = pipeline(prompt, seed=seed, resolution=16, steps=steps)
        assert alone.tobytes() == image.tobytes()


def test_later_steps_draw_fresh_noise_and_change_the_picture(tiny_bundle: Path) -> None:
    pipeline = load(tiny_bundle)
    one, two = (pipeline("abc", seed=5, resolution=16, steps=steps) for steps in (1, 2))
    assert one.tobytes() != two.tobytes()


def test_one_prompt_with_several_seeds_gives_a_list(tiny_bundle: Path) -> None:
    for seeds in ([5, 6], np.array([5, 6])):
        images = load(tiny_bundle)("abc", seed=seeds, resolution=16)
        _assert_same(images[0], _expected(tiny_bundle, "abc", 5, 2))
        _assert_same(images[1], _expected(tiny_bundle, "abc", 6, 2))


def test_threads_share_a_pipeline(tiny_bundle: Path) -> None:
    pipeline = load(tiny_bundle, threads=1)
    pictures: dict[int, bytes] = {}

    def draw(seed: int) -> None:
        pictures[seed] = pipeline("abc", seed=seed, resolution=16).tobytes()

    threads = [Thread(target=draw, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert pictures == {seed: pipeline("abc", seed=seed, resolution=16).tobytes() for seed in range(6)}


@pytest.mark.parametrize(
    ("component", "graph"),
    [
        (
            Component.UNET,
            """unet (float[2,4,2,2] sample, float timestep, float[2,77,5] encoder_hidden_states,
            float[2,1] text_embeds, float[2,6] time_ids) => (float[2,4,2,2] noise_prediction)
            { minus = Neg (timestep) nan = Sqrt (minus) noise_prediction = Add (sample, nan) }""",
        ),
        (
            Component.VAE_DECODER,
            """vae (float[2,4,2,2] latents) => (float[2,3,16,16] images)
            <float zero = {0.0}, int64[4] shape = {2, 3, 16, 16}>
            { big = ReduceMax <keepdims=0> (latents) inf = Div (big, zero)
              images = Expand (inf, shape) }""",
        ),
    ],
)
def test_values_that_are_no_numbers_are_an_error_and_no_black_picture(
    tiny_bundle: Path, swap_engine: SwapEngine, component: Component, graph: str
) -> None:
    swap_engine(component, '<ir_version: 10, opset_import: ["" : 20]>' + graph)
    pipeline = load(tiny_bundle)
    with pytest.raises(RequestError, match=f"the {component} engine gave values"):
        pipeline("abc", seed=5, resolution=16)
    pipeline("abc", seed=5, resolution=24)
