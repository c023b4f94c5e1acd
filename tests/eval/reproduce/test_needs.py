from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mixdq.configs.errors import EvaluationError
from mixdq.configs.gpu import find_gpu
from mixdq.eval.quality.request import Weights
from mixdq.eval.reproduce.needs import check_needs
from mixdq.eval.reproduce.recipe import RecipeName, read_recipe
from mixdq.eval.reproduce.request import Request

MakeRequest = Callable[..., Request]


def _refusal(request: Request) -> str:
    with pytest.raises(EvaluationError) as raised:
        check_needs(read_recipe(request.recipe), request)
    return str(raised.value)


@pytest.mark.usefixtures("no_hub")
def test_all_that_is_missing_is_said_at_once_with_where_to_get_it(make_request: MakeRequest) -> None:
    words = _refusal(make_request(model="sdxl-turbo"))
    for expected in (
        "table1 of sdxl-turbo can't begin",
        "(1) the model: sdxl-turbo is shipped without weights",
        "(2) sensitivities: none ship for sdxl-turbo",
        "(3) prompts: captions_val2014.json, of annotations_trainval2014.zip at https://cocodataset.org",
        "(4) photographs: the folder val2014",
        "(5) FID and KID with Inception need inception-2015-12-05.pt",
        "(6) CLIP score needs ",
        "(7) ImageReward needs ",
    ):
        assert expected in words
    assert [line[:5] for line in words.splitlines()[1:-1]] == [f"  ({place})" for place in range(1, 8)]
    assert words.count("--partial") == 1
    assert words.splitlines()[-1].startswith("or --partial to go without")


def test_without_photographs_and_scorers_a_part_can_be_made(
    make_request: MakeRequest, tmp_path: Path
) -> None:
    (tmp_path / "prompts.txt").write_text("a cat")
    request = make_request(
        model="sdxl-turbo",
        weights="synthetic",
        prompts=tmp_path / "prompts.txt",
        recipe=RecipeName.TABLE2,
        partial=True,
    )
    words = _refusal(request)
    assert "can't begin, missing is sensitivities: none ship" in words
    assert "\n" not in words


def test_files_that_were_named_and_are_not_there_are_missing_too(
    make_request: MakeRequest, tmp_path: Path
) -> None:
    nowhere = tmp_path / "nowhere"
    request = make_request(
        prompts=nowhere, reference=nowhere, scorers=Weights(clip=nowhere), sensitivity=(nowhere,)
    )
    words = _refusal(request)
    for option in ("--prompts", "--clip", "--sensitivity nowhere"):
        assert f"{option}: there is no {nowhere}; give the path of one that is" in words
    assert f"--reference: there is no {nowhere}; give a folder of pictures, or leave it out" in words
    assert "--partial" not in words


def test_emoji_turbo_needs_nothing(make_request: MakeRequest) -> None:
    for name in RecipeName:
        assert check_needs(read_recipe(name), make_request(recipe=name)).identity.name == "emoji-turbo"


@pytest.mark.skipif(find_gpu() is not None, reason="there is a GPU")
def test_the_unet_alone_needs_no_weights_but_a_gpu(make_request: MakeRequest) -> None:
    words = _refusal(make_request(model="sdxl-turbo", recipe=RecipeName.FIG7, device="cuda"))
    assert "missing is a GPU: " in words
