from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL.Image import Image

from mixdq.configs.errors import EvaluationError, MachineError
from mixdq.configs.files import sha256_of_file
from mixdq.configs.quality_table import QualityTable, Score
from mixdq.configs.sqnr import IDENTICAL_PSNR_DB
from mixdq.eval.quality.bootstrap import Bootstrap
from mixdq.eval.quality.comparing_texts import score_with
from mixdq.eval.quality.found import Report
from mixdq.eval.quality.measure import measure_quality
from mixdq.eval.quality.networks import Resize
from mixdq.eval.quality.pairs import partners
from mixdq.eval.quality.pictures import open_drawn
from mixdq.eval.quality.request import Metric, QualityRequest, Weights
from mixdq.eval.scorer import Scores
from mixdq.eval.similarity import psnr_db

from .conftest import SetMaker


def _request(reference: Path, *generated: Path, inception: Path | None = None) -> QualityRequest:
    return QualityRequest(
        reference=reference,
        generated=generated,
        metrics=frozenset({Metric.FID, Metric.KID, Metric.SSIM, Metric.PSNR, Metric.SQNR}),
        with_effnet=False,
        resize=Resize.CLEAN,
        device="cpu",
        batch=4,
        bootstrap=Bootstrap(200, 0),
        weights=Weights(inception=inception),
    )


def _quiet(phase: str) -> Report:
    return lambda done, total: None


@pytest.fixture
def request_of_three(make_set: SetMaker, seeded_inception: Path) -> QualityRequest:
    sets = [make_set(name, noise=noise) for name, noise in (("plain", 0), ("mild", 6), ("rough", 30))]
    return _request(*sets, inception=seeded_inception)


def _score(table: QualityTable, row: int, start: str) -> Score:
    (found,) = (score for score in table.rows[row].scores if score.metric.startswith(start))
    return found


def test_more_noise_scores_worse_in_every_metric(request_of_three: QualityRequest) -> None:
    table = measure_quality(request_of_three)
    assert len(table.rows[0].scores) == 6
    for mild, rough in zip(table.rows[0].scores, table.rows[1].scores, strict=True):
        assert (mild.value > rough.value) == mild.higher_is_better, mild.metric
        assert mild.count == 12
    assert table.reference_count == 12
    assert table.passed


def test_a_score_is_the_mean_of_the_pairs_with_its_interval(request_of_three: QualityRequest) -> None:
    table = measure_quality(request_of_three)
    first, second = (
        open_drawn(folder) for folder in (request_of_three.reference, request_of_three.generated[0])
    )
    values = [psnr_db(second.load(place), first.load(place)) for place in range(12)]
    score = _score(table, 0, "PSNR")
    assert score.value == pytest.approx(np.mean(values), abs=1e-9)
    assert score.low is not None
    assert score.high is not None
    assert min(values) < score.low < score.value < score.high < max(values)
    assert score.weights_sha256 is None


def test_repeating_gives_the_same_digits(request_of_three: QualityRequest, tmp_path: Path) -> None:
    first = measure_quality(request_of_three)
    assert measure_quality(request_of_three) == first
    assert measure_quality(replace(request_of_three, cache=tmp_path / "anew")) == first
    first.write(tmp_path / "quality.json")
    assert QualityTable.read(tmp_path / "quality.json") == first


def test_the_figures_name_what_they_depend_on(
    request_of_three: QualityRequest, seeded_inception: Path
) -> None:
    table = measure_quality(request_of_three)
    assert table.reference_sha256 == sha256_of_file(request_of_three.reference / "manifest.json")
    assert table.rows[1].manifest_sha256 == sha256_of_file(request_of_three.generated[1] / "manifest.json")
    assert _score(table, 0, "FID").weights_sha256 == sha256_of_file(seeded_inception)
    assert set(table.versions) == {"torch", "numpy", "pillow", "mixdq", "scikit-image", "torchmetrics"}
    assert (table.rows[1].model.name, table.rows[1].model.digest) == ("tiny", "0" * 64)
    assert (table.rows[1].prompts_digest, table.rows[1].scheduler) == ("3" * 64, "euler_ancestral")
    assert (table.reference_plan, table.reference_plan_digest) == ("plan of plain", None)
    assert table.reference_steps == 1
    assert table.settings == {
        "bootstrap_draws": "200",
        "seed": "0",
        "resize": "clean",
        "batch": "4",
        "device": "cpu",
    }


def test_sets_are_compared_with_each_other_picture_by_picture(request_of_three: QualityRequest) -> None:
    table = measure_quality(request_of_three)
    (found,) = (difference for difference in table.differences if difference.metric.startswith("PSNR"))
    assert found.mean == pytest.approx(_score(table, 0, "PSNR").value - _score(table, 1, "PSNR").value)
    assert 0 < found.low < found.mean < found.high
    assert (Path(found.first).name, Path(found.second).name, found.count) == ("mild", "rough", 12)


def test_a_set_against_itself_is_perfect(make_set: SetMaker, seeded_inception: Path) -> None:
    folder = make_set("plain")
    table = measure_quality(_request(folder, folder, inception=seeded_inception))
    # Beside an FID of 1e2 and more of noisy pictures.
    assert abs(_score(table, 0, "FID").value) < 1e-6
    assert _score(table, 0, "SSIM (whole").value == pytest.approx(1)
    assert _score(table, 0, "PSNR").value == IDENTICAL_PSNR_DB
    assert any("hold the same pictures, byte for byte" in note for note in table.notes)
    assert any(note.startswith("12 of 12 pictures of ") and "120 dB" in note for note in table.notes)
    (control,) = table.controls
    assert (control.name, control.passed) == ("set against itself", True)


def test_names_that_sort_otherwise_do_not_mispair(make_set: SetMaker, seeded_inception: Path) -> None:
    plain = make_set("plain")
    renamed = make_set("renamed", files=[f"{index}.png" for index in range(12)])
    table = measure_quality(_request(plain, renamed, inception=seeded_inception))
    assert _score(table, 0, "PSNR").value == IDENTICAL_PSNR_DB


def test_one_picture_a_set_has_no_distances_and_all_else(make_set: SetMaker, seeded_inception: Path) -> None:
    folders = make_set("plain", 1), make_set("noisy", 1, noise=9)
    request = replace(_request(*folders, inception=seeded_inception), metrics=None)
    table = measure_quality(request)
    assert [score.metric[:4] for score in table.rows[0].scores] == ["SSIM", "SSIM", "PSNR", "SQNR"]
    for metric in ("FID", "KID"):
        assert "needs at least two pictures of each, and" in table.not_scored[metric]
    with pytest.raises(EvaluationError, match=r"FID can't be measured: .*plain holds one; draw more"):
        measure_quality(replace(request, metrics=frozenset({Metric.FID, Metric.SSIM})))


def test_fewer_pictures_than_features_are_noted(request_of_three: QualityRequest) -> None:
    (note,) = measure_quality(request_of_three).notes
    assert note.startswith("FID (features ")
    assert "of 12 pictures with 24 features is far too high" in note
    assert measure_quality(replace(request_of_three, metrics=frozenset({Metric.KID}))).notes == ()


def test_sets_of_another_model_are_refused(make_set: SetMaker, seeded_inception: Path) -> None:
    folders = make_set("plain"), make_set("other", model_digest="5" * 64)
    with pytest.raises(EvaluationError, match=r"other was drawn by the model tiny \(5"):
        measure_quality(_request(*folders, inception=seeded_inception))


def test_photographs_allow_distances_alone(
    make_photographs: SetMaker, make_set: SetMaker, seeded_inception: Path
) -> None:
    request = _request(make_photographs("photos", 9), make_set("set"), inception=seeded_inception)
    with pytest.raises(EvaluationError, match="psnr, sqnr, ssim can't be measured"):
        measure_quality(request)
    table = measure_quality(replace(request, metrics=None))
    assert [score.metric[:3] for score in table.rows[0].scores] == ["FID", "KID"]
    assert (table.reference_count, table.rows[0].scores[0].count) == (9, 12)
    assert (table.reference_plan, table.reference_steps) == (None, None)
    assert "without a manifest" in table.not_scored["SSIM"]


def test_what_has_no_weights_is_listed_with_where_to_get_them(make_set: SetMaker) -> None:
    folder = make_set("plain")
    request = replace(_request(folder, folder), with_effnet=True, metrics=None)
    table = measure_quality(request)
    assert table.rows[0].scores[0].metric == "FID-EffLite0"
    expected = {
        "FID": "--inception FILE",
        "KID": "--inception FILE",
        "LPIPS": "--lpips FILE",
        "CLIP": "--clip FILE_OR_FOLDER",
        "ImageReward": "--image-reward FILE",
        "emoji alignment": "trained for emoji-turbo's pictures",
    }
    assert set(table.not_scored) == set(expected)
    for metric, words in expected.items():
        assert words in table.not_scored[metric]


@pytest.mark.parametrize("metric", [Metric.FID, Metric.KID, Metric.CLIP, Metric.IMAGEREWARD, Metric.LPIPS])
def test_what_was_asked_for_and_has_no_weights_is_an_error(make_set: SetMaker, metric: Metric) -> None:
    folder = make_set("plain")
    request = replace(_request(folder, folder), metrics=frozenset({metric}))
    with pytest.raises(EvaluationError, match=r"was asked for, and there are no weights: .*; give --"):
        measure_quality(request)


@pytest.mark.parametrize("option", ["inception", "clip", "image_reward", "lpips"])
def test_weights_that_are_not_there_are_named_before_any_work(
    make_set: SetMaker, tmp_path: Path, option: str
) -> None:
    folder = make_set("plain")
    phases: list[str] = []

    def watch(phase: str) -> Report:
        phases.append(phase)
        return lambda done, total: None

    weights = replace(Weights(), **{option: tmp_path / "none"})
    with pytest.raises(EvaluationError, match=r"there is no file .*none, which --"):
        measure_quality(replace(_request(folder, folder), metrics=None, weights=weights), watch)
    assert phases == []


def test_the_emoji_alignment_of_other_models_pictures_is_an_error_if_asked_for(make_set: SetMaker) -> None:
    folder = make_set("plain")
    request = replace(_request(folder, folder), metrics=frozenset({Metric.ALIGNMENT}))
    with pytest.raises(EvaluationError, match="trained for emoji-turbo's pictures"):
        measure_quality(request)


def test_sets_of_different_numbers_are_refused(make_set: SetMaker, make_photographs: SetMaker) -> None:
    request = _request(make_photographs("photos"), make_set("a", 5), make_set("b", 6))
    with pytest.raises(EvaluationError, match="never compared"):
        measure_quality(replace(request, metrics=None))


def test_rows_of_different_numbers_make_no_table(request_of_three: QualityRequest) -> None:
    table = measure_quality(replace(request_of_three, metrics=frozenset({Metric.PSNR})))
    fewer = replace(table.rows[1], scores=(replace(table.rows[1].scores[0], count=11),))
    with pytest.raises(EvaluationError, match=r"mild has 12|rough has 11"):
        replace(table, rows=(table.rows[0], fewer))


def test_a_gpu_that_is_not_there_is_refused(make_set: SetMaker) -> None:
    folder = make_set("plain")
    with pytest.raises(MachineError, match="can't compute on 'nothing'"):
        measure_quality(replace(_request(folder, folder), device="nothing"))


class _Brightness:
    """Knows how bright the picture of each prompt is: a scorer whose right answers are known."""

    name, weights_sha256 = "brightness", "7" * 64

    def __init__(self, expected: dict[str, float]) -> None:
        self._expected = expected

    def score(self, images: Sequence[Image], prompts: Sequence[str]) -> Scores:
        found = [float(np.asarray(image).mean()) for image in images]
        wanted = [self._expected[prompt] for prompt in prompts]
        return np.asarray(-np.abs(np.array(found) - np.array(wanted)))


class _Directions(_Brightness):
    """The same knowledge as two vectors whose product is the score."""

    def embed_images(self, images: Sequence[Image]) -> Scores:
        angles = [float(np.asarray(image).mean()) / 40 for image in images]
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)

    def embed_prompts(self, prompts: Sequence[str]) -> Scores:
        angles = [self._expected[prompt] / 40 for prompt in prompts]
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _expectations(folder: Path) -> dict[str, float]:
    drawn = open_drawn(folder)
    return {
        record.prompt: float(np.asarray(drawn.load(place)).mean())
        for place, record in enumerate(drawn.records)
    }


@pytest.mark.parametrize("kind", [_Brightness, _Directions])
def test_a_score_against_prompts_is_compared_with_the_references_own(
    make_set: SetMaker, kind: type[_Brightness]
) -> None:
    folders = [make_set("plain"), make_set("noisy", noise=40)]
    scorer = kind(_expectations(folders[0]))
    reference, noisy = (open_drawn(folder) for folder in folders)
    found = score_with(scorer, _request(*folders), reference, [noisy], [partners(reference, noisy)], _quiet)
    entry = found.scores[0].score(0, Bootstrap(200, 0))
    assert entry.metric == "brightness"
    assert entry.against_reference is not None
    mean, low, high = entry.against_reference
    assert low < mean < high < 0
    assert [control.passed for control in found.controls] == [True, True]


def test_prompts_find_their_own_pictures(make_set: SetMaker) -> None:
    folder = make_set("plain")
    drawn = open_drawn(folder)
    scorer = _Directions(_expectations(folder))
    found = score_with(scorer, _request(folder), drawn, [drawn], [partners(drawn, drawn)], _quiet)
    recall = found.scores[1].score(0, Bootstrap(200, 0))
    assert (recall.metric, recall.value) == ("RI@1 (brightness)", 1.0)


def test_a_scorer_that_cannot_tell_prompts_apart_is_refused(make_set: SetMaker) -> None:
    folders = [make_set("plain"), make_set("noisy", noise=9)]
    reference, noisy = (open_drawn(folder) for folder in folders)
    blind = _Brightness(dict.fromkeys(_expectations(folders[0]), 100.0))
    found = score_with(blind, _request(*folders), reference, [noisy], [partners(reference, noisy)], _quiet)
    assert not found.scores
    assert "can't tell the reference's prompts apart" in found.not_scored["brightness"]
    assert [control.passed for control in found.controls] == [False]


def test_pictures_of_other_prompts_are_refused_and_the_rest_is_scored(make_set: SetMaker) -> None:
    right = open_drawn(make_set("right"))
    # Each prompt beside the picture of another: what pairing by sorted names did.
    records = right.records
    moved = [
        replace(record, file=records[place - 5].file, sha256=records[place - 5].sha256)
        for place, record in enumerate(records)
    ]
    wrong = replace(right, manifest=replace(right.manifest, images=tuple(moved)))
    scorer = _Brightness(_expectations(right.folder))
    places = [tuple(range(12))] * 2
    found = score_with(scorer, _request(right.folder), right, [right, wrong], places, _quiet)
    assert list(found.scores[0].refused) == [1]
    assert "belong to others" in found.scores[0].refused[1]
    assert found.scores[0].difference(0, 1, ("right", "wrong"), Bootstrap(200, 0)) is None


def test_prompts_that_are_all_alike_give_no_control(make_set: SetMaker) -> None:
    folder = make_set("plain", prompts=["apple"] * 12)
    drawn = open_drawn(folder)
    found = score_with(
        _Brightness({"apple": 100.0}), _request(folder), drawn, [drawn], [tuple(range(12))], _quiet
    )
    assert "one at more than half of the 12 pictures" in found.not_scored["brightness"]
