"""Made-up weights: the same for a seed, never repeating, of a size that keeps the network's scale."""

import numpy as np
import pytest

from mixdq.export.weights.roles import BOS_OUTLIER, OUTLIER_CHANNELS
from mixdq.export.weights.synthetic import SyntheticWeights

UNET = SyntheticWeights(7, "unet")
QUERY = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q.weight"


def test_a_tensor_depends_on_seed_component_and_name_alone() -> None:
    wanted = UNET.open().read(QUERY, (64, 64))
    reader = UNET.open()
    reader.read("conv_in.weight", (32, 4, 3, 3))
    np.testing.assert_array_equal(reader.read(QUERY, (64, 64)), wanted)
    for other in (SyntheticWeights(8, "unet"), SyntheticWeights(7, "vae")):
        assert not np.array_equal(other.open().read(QUERY, (64, 64)), wanted)
        assert other.digest() != UNET.digest()
    assert not np.array_equal(reader.read(QUERY.replace("to_q", "to_k"), (64, 64)), wanted)
    assert SyntheticWeights(7, "unet").digest() == UNET.digest()


def test_the_values_of_a_name_are_fixed_for_good() -> None:
    # Figures of this version; engines and stages made before are wrong if they change.
    values = UNET.open().read(QUERY, (4, 4)).reshape(-1)
    assert values[:4].tolist() == [-0.810546875, 0.286376953125, 0.033660888671875, 0.259033203125]


def test_nothing_repeats_within_a_tensor_or_between_two() -> None:
    reader = UNET.open()
    one = reader.read(QUERY, (1024, 1024)).view(np.uint64).reshape(-1)
    two = reader.read(QUERY.replace("to_q", "to_v"), (1024, 1024)).view(np.uint64).reshape(-1)
    together = np.concatenate([one, two])
    assert np.unique(together).size > 0.999 * together.size
    # Chunks of any size that a file system or a packer could find again.
    assert np.unique(one.reshape(-1, 32), axis=0).shape[0] == one.size // 32


@pytest.mark.parametrize(
    ("component", "name", "shape", "std"),
    [
        ("unet", QUERY, (512, 256), 256**-0.5),
        ("unet", "down_blocks.0.resnets.0.conv2.weight", (64, 64, 3, 3), (0.09 / 0.36 / 576) ** 0.5),
        ("unet", "conv_out.weight", (4, 320, 3, 3), (1 / 0.36 / 2880) ** 0.5),
        (
            "text_encoder_2",
            "text_model.encoder.layers.3.mlp.fc2.weight",
            (256, 1024),
            0.15 / (0.43 * 1024) ** 0.5,
        ),
        ("vae", "decoder.mid_block.attentions.0.to_out.0.weight", (256, 256), 0.3 / 16),
        ("unet", "conv_norm_out.bias", (4096,), 0.05),
        ("unet", "conv_in.bias", (4096,), 0.02),
    ],
)
def test_the_size_follows_the_role(component: str, name: str, shape: tuple[int, ...], std: float) -> None:
    values = SyntheticWeights(0, component).open().read(name, shape)
    assert values.dtype == np.float16
    assert values.astype(np.float64).std() == pytest.approx(std, rel=0.05)
    assert abs(values.astype(np.float64).mean()) < 0.1 * std


def test_a_norms_weights_lie_about_one() -> None:
    values = UNET.open().read("down_blocks.1.resnets.0.norm1.weight", (4096,)).astype(np.float64)
    assert values.mean() == pytest.approx(1, abs=0.01)
    assert values.std() == pytest.approx(0.05, rel=0.1)


def test_token_0_is_an_outlier_that_cross_attention_reads_with_small_weights() -> None:
    rows = (
        SyntheticWeights(0, "text_encoder")
        .open()
        .read("text_model.embeddings.token_embedding.weight", (1600, 96))
    )
    assert (rows[-2, list(OUTLIER_CHANNELS)] == BOS_OUTLIER).all()
    assert np.abs(np.delete(rows, -2, axis=0)).max() < 4
    keys = UNET.open().read(QUERY.replace("attn1.to_q", "attn2.to_k"), (256, 224)).astype(np.float64)
    others = np.delete(keys, OUTLIER_CHANNELS, axis=1)
    assert keys[:, OUTLIER_CHANNELS].std() == pytest.approx(others.std() / 16, rel=0.2)


def test_a_network_narrower_than_the_outliers_channels_has_fewer_of_them() -> None:
    rows = SyntheticWeights(0, "text_encoder").open().read("embeddings.token_embedding.weight", (100, 32))
    assert (np.abs(rows) == BOS_OUTLIER).sum() == 2


def test_a_single_number_and_an_odd_count_are_made_too() -> None:
    reader = UNET.open()
    assert reader.read("a.bias", ()).shape == ()
    assert reader.read("a.bias", (3,)).shape == (3,)
