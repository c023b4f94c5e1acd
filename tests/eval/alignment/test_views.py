import pytest
import torch

from mixdq.eval.alignment.views import can_mirror, vary


def _pictures(count: int) -> torch.Tensor:
    """White, with a dark square left of the middle."""
    pictures = torch.full((count, 64, 64, 3), 255, dtype=torch.uint8)
    pictures[:, 20:44, 8:24] = 20
    return pictures


def _dark_side(views: torch.Tensor) -> torch.Tensor:
    """Where the dark pixels' mean column is: below 0 is left."""
    ink = (1 - views).mean(dim=1).clamp(min=0.5) - 0.5
    columns = torch.linspace(-1, 1, views.shape[-1])
    return (ink * columns).sum(dim=(1, 2)) / ink.sum(dim=(1, 2))


def test_views_have_the_size_asked_for_and_the_networks_range() -> None:
    views = vary(_pictures(8), torch.ones(8, dtype=torch.bool), 48, torch.Generator().manual_seed(0))
    assert views.shape == (8, 3, 48, 48)
    assert views.min() >= -1
    assert views.max() <= 1
    assert views.min() < -0.4


def test_the_same_seed_gives_the_same_views() -> None:
    mirror = torch.ones(4, dtype=torch.bool)
    one, again, other = (
        vary(_pictures(4), mirror, 32, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)
    )
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_about_half_are_mirrored_where_that_is_allowed_and_none_elsewhere() -> None:
    allowed = torch.arange(200) < 100
    views = vary(_pictures(200), allowed, 32, torch.Generator().manual_seed(0))
    right = _dark_side(views) > 0.1
    assert 30 < int(right[:100].sum()) < 70
    # A shift alone never moves the square so far.
    assert int(right[100:].sum()) == 0


@pytest.mark.parametrize("label", ["left arrow", "three o'clock", "keycap: 7", "japanese “free” button"])
def test_what_names_a_side_or_shows_writing_is_not_mirrored(label: str) -> None:
    assert not can_mirror(label)


@pytest.mark.parametrize("label", ["red apple", "cat", "woman juggling"])
def test_other_pictures_may_be_mirrored(label: str) -> None:
    assert can_mirror(label)
