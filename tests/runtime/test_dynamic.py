"""One graph with symbolic sizes for all resolutions, against one graph a resolution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mixdq.configs.bundle import SYMBOLIC, Bundle, Component, EngineRecord, FileRecord, TensorSpec
from mixdq.configs.errors import RequestError
from mixdq.runtime import load

Symbolic = Callable[[], None]


def _symbolic(spec: TensorSpec) -> TensorSpec:
    sizes = spec.shape if len(spec.shape) < 4 else (*spec.shape[:2], SYMBOLIC, SYMBOLIC)
    return replace(spec, shape=sizes)


def _dynamic(root: Path, record: EngineRecord) -> EngineRecord:
    """The tiny bundle's graph for 16 pixels without its sizes; nothing in it depends on them."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load(root / record.file.path)
    for value in (*model.graph.input, *model.graph.output):
        sizes = list(value.type.tensor_type.shape.dim)
        for place, side in enumerate(sizes[2:] if len(sizes) == 4 else ()):
            side.dim_param = f"{value.name}_{place}"
    path = root / f"{record.component}-dynamic.onnx"
    path.write_bytes(model.SerializeToString())
    return replace(
        record,
        resolution=None,
        file=FileRecord.of(root, path),
        inputs=tuple(map(_symbolic, record.inputs)),
        outputs=tuple(map(_symbolic, record.outputs)),
    )


@pytest.fixture
def make_dynamic(tiny_bundle: Path) -> Symbolic:
    def make() -> None:
        bundle = Bundle.read(tiny_bundle)
        kept = [engine for engine in bundle.engines if engine.resolution is None]
        made = [_dynamic(tiny_bundle, engine) for engine in bundle.engines if engine.resolution == 16]
        replace(bundle, engines=(*kept, *made)).write(tiny_bundle)

    return make


def test_one_graph_draws_the_pictures_that_a_graph_a_resolution_draws(
    tiny_bundle: Path, make_dynamic: Symbolic
) -> None:
    fixed = {size: load(tiny_bundle)("abc", seed=5, resolution=size).tobytes() for size in (16, 24)}
    make_dynamic()
    dynamic = load(tiny_bundle)
    assert {size: dynamic("abc", seed=5, resolution=size).tobytes() for size in (16, 24)} == fixed


def test_the_file_is_opened_once_for_all_resolutions(tiny_bundle: Path, make_dynamic: Symbolic) -> None:
    make_dynamic()
    pipeline = load(tiny_bundle)
    pipeline("abc", seed=5, resolution=16)
    for name in ("unet-dynamic.onnx", "vae_decoder-dynamic.onnx"):
        (tiny_bundle / name).unlink()
    assert pipeline("abc", seed=5, resolution=24).size == (24, 24)


def test_an_engine_has_the_sizes_of_its_resolution(tiny_bundle: Path, make_dynamic: Symbolic) -> None:
    make_dynamic()
    with load(tiny_bundle) as pipeline:
        unet, vae = (pipeline.engine(part, 24) for part in (Component.UNET, Component.VAE_DECODER))
        assert {spec.name: spec.shape for spec in unet.record.inputs}["sample"] == (2, 4, 3, 3)
        assert vae.record.outputs[0].shape == (2, 3, 24, 24)
        given = vae.run({"latents": np.zeros((2, 4, 3, 3), np.float32)})
        assert given["images"].shape == (2, 3, 24, 24)


def test_a_closed_pipeline_says_so(tiny_bundle: Path) -> None:
    with load(tiny_bundle) as pipeline:
        pipeline("abc", seed=5, resolution=16)
    pipeline.close()
    with pytest.raises(RequestError, match="was closed; load the bundle again"):
        pipeline("abc", seed=5, resolution=16)
