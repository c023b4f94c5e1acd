from __future__ import annotations

from dataclasses import replace

import pytest

from mixdq.configs.layers import LayerName, LayerTable, ModelIdentity, Role
from mixdq.configs.plan import uniform_plan
from mixdq.configs.precision import FP16, Precision
from mixdq.configs.quality_table import Difference, Score
from mixdq.configs.ranges import CalibrationRun
from mixdq.eval.ablation.costs import costs_of
from mixdq.eval.ablation.header import Header
from mixdq.eval.ablation.markdown import markdown
from mixdq.eval.ablation.report import Ablation, AblationRow, Comparison, Costs
from mixdq.eval.ablation.role_rows import ByRole, RoleRow, TextLayerRow

COSTS = Costs(weight_bits=8.0, activation_bits=8.25, packed_bytes=2**20, bops=64 * 10**9, protected=4)


def test_costs_are_means_by_weights_and_by_values_read(layers: LayerTable) -> None:
    plan = uniform_plan(
        layers,
        Precision(4, 8),
        keep=(LayerName("conv_out"),),
        protect=(LayerName("conv_in"),),
        bos_aware=True,
        split_shortcuts=True,
    )
    # 2784 weights of 4 bits, but conv_out's 288 of 16; 3072 values read, conv_in's and conv_out's with 16.
    read = {
        "conv_in": 256,
        "to_q": 2 * 128,
        "to_k": 1540,
        "proj": 128,
        "net.2": 512,
        "conv1": 1024,
        "out": 512,
    }
    floats = read["conv_in"] + read["out"]
    total = sum(read.values())
    found = costs_of(plan, layers, 64)
    assert found.weight_bits == pytest.approx((2784 * 4 + 288 * 12) / 2784)
    assert found.activation_bits == pytest.approx((8 * total + 8 * floats) / total)
    assert found.packed_bytes == (2784 * 4 + 288 * 12) // 8
    assert found.protected == 1
    macs = sum(layer.macs[64] for layer in layers)
    assert found.bops == macs * 32 + 64 * 288 * (256 - 32) + 64 * 288 * (64 - 32)


def test_weights_alone_protect_nothing(layers: LayerTable) -> None:
    for precision in (FP16, Precision(4, 16)):
        plan = uniform_plan(layers, precision, keep=(), protect=(), bos_aware=True, split_shortcuts=True)
        assert costs_of(plan, layers, 64).protected == 0


@pytest.mark.parametrize(
    ("paper", "ours", "agrees"),
    [
        ((31.65, 103.96), (40.0, 200.0), True),
        ((37.35, 31.65), (39.0, 40.0), False),
        ((37.35, 31.65), (40.5, 40.0), False),  # 1.01: nothing changed, and the paper's rises
        ((17.03, 17.15), (40.5, 40.0), True),  # 0.99 and 1.01: neither changes
        ((17.03, 17.15), (50.0, 40.0), False),
    ],
)
def test_a_step_agrees_with_the_paper_if_both_rise_fall_or_stay(
    paper: tuple[float, float], ours: tuple[float, float], agrees: bool
) -> None:
    found = Comparison.of("before", paper, ours, "FID")
    assert found.agrees == agrees
    assert found.paper == pytest.approx(paper[0] / paper[1])


def _score(metric: str, value: float, spread: float | None) -> Score:
    low, high = (None, None) if spread is None else (value - spread, value + spread)
    return Score(metric, value, low, high, 4, metric != "FID-EffLite0", None, None)


def _row(name: str, fid: float, comparison: Comparison | None) -> AblationRow:
    return AblationRow(
        name=name,
        label=name.upper(),
        plan="W8A8",
        plan_digest="0" * 64,
        how="all layers W8A8",
        costs=COSTS,
        manifest_sha256="1" * 64,
        quality=(_score("FID-EffLite0", fid, None), _score("PSNR dB", 30.0, 0.5)),
        refused={"emoji alignment": "these pictures don't show their prompts"},
        training=(_score("FID-EffLite0", fid + 100, None),),
        step=Difference("PSNR dB", name, "before", -1.5, -1.75, -1.25, 4),
        paper_fid=(37.35, "table 3"),
        comparison=comparison,
    )


@pytest.fixture
def ablation() -> Ablation:
    run = CalibrationRun(64, "9" * 64, 0, (128,))
    header = Header(ModelIdentity("tiny", "a" * 64), "b" * 64, "c" * 64, "d" * 64, 4, 0, 128, run, None, {})
    comparison = Comparison.of("w8a8-bos", (37.35, 31.65), (39.0, 40.0), "FID-EffLite0 to training pictures")
    roles = tuple(
        RoleRow(Role.CROSS_ATTENTION, aware, 68, sqnr, ssim, 20.0)
        for aware, sqnr, ssim in ((False, 5.0, 0.2), (True, 30.0, 0.95))
    )
    text = (TextLayerRow("a.to_k", 60.0, 10.0, 61.0, 50.0), TextLayerRow("a.to_v", 62.0, 20.0, 63.0, 52.0))
    return Ablation(
        header=header,
        rows=(_row("w8a8-mixed", 39.0, comparison),),
        by_role=ByRole(header.digest, "e" * 64, 4, roles, text),
        training_sha256="f" * 64,
        training_count=512,
        not_scored={"CLIP": "no weights"},
        failed_controls=(),
        command="mixdq-eval ablation tiny",
        machine={"cores": "2", "processor": "a processor"},
        versions={},
    )


def test_the_table_says_where_the_paper_is_contradicted(ablation: Ablation) -> None:
    lines = list(markdown(ablation))
    assert (
        "| W8A8-MIXED | 37.35 (table 3) | w8a8-bos | × 1.18 | × 0.975 | FID-EffLite0 to training pictures "
        "| **no** |" in lines
    )
    assert "| W8A8-MIXED | 8.000 | 8.250 | 4 | 1.00 | 64.0 | all layers W8A8 |" in lines


def test_a_row_that_the_paper_has_not_is_in_all_tables_but_the_paper_s(ablation: Ablation) -> None:
    noise = replace(_row("w5a8-noise", 38.0, None), paper_fid=None)
    lines = list(markdown(replace(ablation, rows=(*ablation.rows, noise))))
    start = next(number for number, line in enumerate(lines) if line.startswith("Against the paper"))
    end = next(number for number, line in enumerate(lines) if line.startswith("One role"))
    shown = [number for number, line in enumerate(lines) if line.startswith("| W5A8-NOISE |")]
    assert len(shown) == 3
    assert not [number for number in shown if start < number < end]
    assert "| W5A8-NOISE | 38 | 30 (29.5 to 30.5) | -1.50 (-1.75 to -1.25) |" in lines


def test_the_table_has_intervals_refusals_and_steps(ablation: Ablation) -> None:
    lines = list(markdown(ablation))
    assert "| W8A8-MIXED | 39 | 30 (29.5 to 30.5) | -1.50 (-1.75 to -1.25) |" in lines
    assert "| W8A8-MIXED | 139 |" in lines
    assert "- refused: emoji alignment of w8a8-mixed: these pictures don't show their prompts" in lines
    assert "- not scored: CLIP; ablation.json says why" in lines
    assert "    mixdq-eval ablation tiny" in lines


def test_the_roles_have_a_table_and_the_text_layers_their_means(ablation: Ablation) -> None:
    lines = list(markdown(ablation))
    assert "| cross-attention | 68 | 0.2000 | 0.9500 | 0.8 | 0.05 | 5.0 | 30.0 |" in lines
    assert "| mean of 2 | 15.0 | 51.0 | 61.0 | 62.0 |" in lines
    assert "| lowest | 10.0 | 50.0 | 60.0 | 61.0 |" in lines
    alone = "\n".join(markdown(replace(ablation, by_role=None)))
    assert "cross-attention" not in alone.lower()


def test_every_row_of_a_table_has_as_many_cells_as_its_head(ablation: Ablation) -> None:
    widths: list[int] = []
    for line in markdown(ablation):
        if line.startswith("| "):
            widths.append(line.count("|"))
        elif widths:
            if line.startswith("|---"):
                assert line.count("|") == widths[-1]
            else:
                assert len(set(widths)) == 1
                widths = []
