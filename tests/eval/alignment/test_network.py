import pytest
import torch

from mixdq.eval.alignment.network import DualEncoder, Shape

SMALL = Shape(
    pixels=32, widths=(8, 16), depths=(1, 1), vocabulary=1600, tokens=12, text_width=16, text_layers=1,
    text_heads=2, embedding=8,
)  # fmt: skip


@pytest.fixture(name="model")
def _model() -> DualEncoder:
    torch.manual_seed(0)
    return DualEncoder(SMALL).eval()


def test_directions_have_unit_length(model: DualEncoder) -> None:
    random = torch.Generator().manual_seed(0)
    pictures = torch.rand(3, 3, 32, 32, generator=random) * 2 - 1
    ids = torch.randint(0, 1600, (3, 12), generator=random)
    for vectors in (model.image(pictures), model.text(ids, torch.ones_like(ids, dtype=torch.bool))):
        assert vectors.shape == (3, 8)
        assert vectors.norm(dim=1).tolist() == pytest.approx([1, 1, 1], abs=1e-6)


def test_padding_does_not_change_a_caption(model: DualEncoder) -> None:
    ids = torch.tensor([[1598, 5, 7, 1599]])
    padded = torch.tensor([[1598, 5, 7, 1599, 3, 9]])
    present = torch.tensor([[True] * 4 + [False] * 2])
    torch.testing.assert_close(model.text(padded, present), model.text(ids, present[:, :4]))


def test_a_tokens_place_counts(model: DualEncoder) -> None:
    with torch.no_grad():
        model.text.place.normal_(generator=torch.Generator().manual_seed(0))
    present = torch.ones(1, 4, dtype=torch.bool)
    one = model.text(torch.tensor([[1598, 5, 7, 1599]]), present)
    other = model.text(torch.tensor([[1598, 7, 5, 1599]]), present)
    assert (one - other).abs().max() > 1e-3


def test_the_temperature_is_bounded(model: DualEncoder) -> None:
    with torch.no_grad():
        model.log_scale.fill_(20.0)
    assert model.scale.item() == pytest.approx(60)
