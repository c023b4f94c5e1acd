import numpy as np
import pytest
import torch

from mixdq.eval.alignment.captions import caption_table, drop_tokens, likeness
from mixdq.eval.alignment.inputs import CaptionTokens
from mixdq.export.emoji_turbo.data import Emoji

EMOJI = (
    Emoji("1", "red bird", ("animal", "sky")),
    Emoji("2", "blue bird", ("animal",)),
    Emoji("3", "bus", ()),
)


@pytest.fixture(name="tokens", scope="module")
def _tokens() -> CaptionTokens:
    return CaptionTokens(16)


def test_the_first_caption_is_the_label(tokens: CaptionTokens) -> None:
    table = caption_table(EMOJI, tokens, seed=0)
    ids, present = tokens([one.label for one in EMOJI])
    assert torch.equal(table.ids[:, 0], ids)
    assert torch.equal(table.present[:, 0], present)
    assert table.ids.shape == (3, len(table.chances), 16)
    assert sum(table.chances) == pytest.approx(1)


def test_an_emoji_without_tags_is_called_by_its_label(tokens: CaptionTokens) -> None:
    table = caption_table(EMOJI, tokens, seed=0)
    bus = int(tokens(["bus"])[0][0, 1])
    assert (table.ids[2] == bus).any(dim=1).all()


def test_the_same_seed_gives_the_same_captions(tokens: CaptionTokens) -> None:
    one, again, other = (caption_table(EMOJI, tokens, seed).ids for seed in (0, 0, 1))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_captions_are_read_to_their_end_token(tokens: CaptionTokens) -> None:
    ids, present = tokens(["bus", "red bird on a bus " * 20])
    assert int(present[0].sum()) == 3  # BOS, bus, EOS
    assert present[1].all()
    assert ids[0, 0] == 1598
    assert ids[1, -1] == ids[0, 2] == 1599


def test_dropped_tokens_are_never_the_first_or_the_last() -> None:
    present = torch.tensor([[True] * 5 + [False] * 3] * 200)
    kept = drop_tokens(torch.zeros(200, 8), present, 0.5, np.random.default_rng(0))
    assert kept[:, 0].all()
    assert kept[:, 4].all()
    assert not kept[:, 5:].any()
    # 600 draws at one half: five standard deviations are 61.
    assert abs(int(kept[:, 1:4].sum()) - 300) < 61


def test_likeness_is_the_cosine_of_rare_words() -> None:
    alike = likeness(EMOJI)
    # Of three emoji two hold "bird" and "animal", log(3/2) each; "red", "sky" and "blue" are single, log 3.
    shared, single = np.log(1.5), np.log(3)
    expected = 2 * shared**2 / np.sqrt((2 * shared**2 + 2 * single**2) * (2 * shared**2 + single**2))
    assert alike[0, 1].item() == pytest.approx(expected, rel=1e-5)
    assert alike[0, 1] == alike[1, 0]
    assert alike[0, 2] == 0
    assert alike.diagonal().abs().max() == 0
