import numpy as np

from mixdq.runtime.noise import NoiseSource


def test_an_image_has_the_same_noise_alone_and_in_a_batch() -> None:
    alone, batch = NoiseSource([7]), NoiseSource([3, 7])
    for _ in range(3):
        np.testing.assert_array_equal(alone.draw((4, 2, 2))[0], batch.draw((4, 2, 2))[1])


def test_noise_is_standard_normal_and_never_repeats() -> None:
    source = NoiseSource([0])
    first, second = source.draw((4, 64, 64)), source.draw((4, 64, 64))
    # 16384 values: the mean's standard error is 0.0078, the deviation's 0.0055.
    assert abs(first.mean()) < 0.04
    assert abs(first.std() - 1) < 0.03
    assert abs(np.mean(first * second)) < 0.04
    assert first.dtype == np.float32


def test_the_stream_of_a_seed_is_fixed() -> None:
    # Philox4x64 of NumPy with SeedSequence(0), float32 ziggurat: a change here changes every picture.
    expected = np.random.Generator(np.random.Philox(0)).standard_normal(3, dtype=np.float32)
    np.testing.assert_array_equal(NoiseSource([0]).draw((1, 1, 3)).ravel(), expected)


def test_later_noise_goes_on_in_the_stream_of_each_seed() -> None:
    source = NoiseSource([3, 7])
    source.draw((4, 2, 3))
    generators = [np.random.Generator(np.random.Philox(seed)) for seed in (3, 7)]
    for generator in generators:
        generator.standard_normal((4, 2, 3), dtype=np.float32)
    expected = [generator.standard_normal((4, 5, 2), dtype=np.float32) for generator in generators]
    np.testing.assert_array_equal(source.draw((4, 5, 2)), np.stack(expected))
