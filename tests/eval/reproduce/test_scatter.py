from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from mixdq.eval.reproduce.result import Figure, ResultRow
from mixdq.eval.reproduce.scatter import scatter_figure, write_scatter

ROWS = [
    ResultRow("full", "FP16", ours={"weights_mib": Figure(28.0), "fid": Figure(16.0)}, paper={"fid": 17.15}),
    ResultRow("w4a8-naive", "naive 4/8", ours={"weights_mib": Figure(7.0), "fid": Figure(300.0)}),
    ResultRow("w4a8-mixdq", "MixDQ 4/8", ours={"weights_mib": Figure(7.0)}, paper={"fid": 17.68}),
]


def test_each_side_has_the_points_that_are_known() -> None:
    here, source = scatter_figure(ROWS).axes
    points = [
        [tuple(point) for line in axes.lines for point in np.asarray(line.get_xydata()).tolist()]
        for axes in (here, source)
    ]
    assert points == [[(28.0, 16.0), (7.0, 300.0)], [(1.0, 17.15), (0.25, 17.68)]]


def test_the_plot_is_a_picture(tmp_path: Path) -> None:
    with Image.open(tmp_path / write_scatter(ROWS, tmp_path)) as picture:
        assert picture.size[0] > 1000
