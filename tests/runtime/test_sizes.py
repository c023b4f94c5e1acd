from mixdq.configs.bundle import SYMBOLIC, Component, EngineRecord, FileRecord, TensorSpec
from mixdq.runtime.sizes import at_resolution, is_dynamic


def _record(component: Component, taken: TensorSpec, given: TensorSpec) -> EngineRecord:
    file = FileRecord("engine", "0" * 64, 1)
    return EngineRecord(component, "cpu", None, file, (), "any 1", "cpu", (taken,), (given,))


def test_the_unet_s_sides_are_latent_pixels_and_its_other_sizes_stay() -> None:
    shape = (1, 4, SYMBOLIC, SYMBOLIC)
    record = _record(
        Component.UNET, TensorSpec("sample", "float16", shape), TensorSpec("noise", "float16", shape)
    )
    fixed = at_resolution(record, 768, 8)
    assert [spec.shape for spec in (*fixed.inputs, *fixed.outputs)] == [(1, 4, 96, 96), (1, 4, 96, 96)]
    assert fixed.resolution == 768
    assert (is_dynamic(record), is_dynamic(fixed)) == (True, False)


def test_the_vae_s_images_are_pixels() -> None:
    record = _record(
        Component.VAE_DECODER,
        TensorSpec("latents", "float32", (1, 4, SYMBOLIC, SYMBOLIC)),
        TensorSpec("images", "float32", (1, 3, SYMBOLIC, SYMBOLIC)),
    )
    fixed = at_resolution(record, 512, 8)
    assert (fixed.inputs[0].shape, fixed.outputs[0].shape) == ((1, 4, 64, 64), (1, 3, 512, 512))


def test_the_vae_s_pictures_of_8_bits_are_pixels_too() -> None:
    record = _record(
        Component.VAE_DECODER,
        TensorSpec("latents", "float32", (1, 4, SYMBOLIC, SYMBOLIC)),
        TensorSpec("images", "uint8", (1, SYMBOLIC, SYMBOLIC, 3)),
    )
    assert at_resolution(record, 512, 8).outputs[0].shape == (1, 512, 512, 3)


def test_an_engine_of_fixed_sizes_stays_the_same_for_every_resolution() -> None:
    record = _record(
        Component.TEXT_ENCODER,
        TensorSpec("input_ids", "int64", (1, 77)),
        TensorSpec("hidden_states", "float16", (1, 77, 768)),
    )
    assert at_resolution(record, 512, 8) is record
