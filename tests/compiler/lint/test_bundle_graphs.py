from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest

from mixdq.compiler.lint.bundle_graphs import bundle_subjects, graph_path, read_planned
from mixdq.configs.bundle import Bundle, FileRecord
from mixdq.configs.errors import BundleError, DigestError, GraphError, MixdqError
from mixdq.configs.target import Dialect


def _subjects(folder: Any) -> list[Any]:
    bundle = Bundle.read(folder.root)
    return list(bundle_subjects(folder.root, bundle, read_planned(folder.root, bundle)))


def test_the_graph_behind_an_engine_is_found_with_its_plan_and_dialect(folder: Any) -> None:
    (subject,) = _subjects(folder)
    assert subject.name == "onnx/tensorrt/unet-16.onnx"
    assert subject.dialect is Dialect.TENSORRT
    assert list(subject.planned.plan.layers) == ["p"]


def test_a_graph_that_runs_itself_needs_no_record_but_the_bundles(tiny_bundle: Any, folder: Any) -> None:
    bundle = Bundle.read(folder.root)
    engine = bundle.engines[0]
    assert graph_path(engine) == folder.graph
    (folder.root / "stages.json").unlink()
    with pytest.raises(BundleError, match=r"has no record of onnx/tensorrt/unet-16\.onnx"):
        _subjects(folder)


def test_weights_are_not_read(folder: Any) -> None:
    # Other bytes of the same number: only `verify` would notice.
    (folder.root / "onnx/tensorrt/unet.weights").write_bytes(bytes(4))
    assert len(_subjects(folder)) == 1


def _drop(folder: Any, path: str) -> None:
    (folder.root / path).unlink()


def _append(folder: Any, path: str) -> None:
    with (folder.root / path).open("ab") as file:
        file.write(b"x")


def _other_version(folder: Any, path: str) -> None:
    plain = json.loads((folder.root / path).read_text())
    (folder.root / path).write_text(json.dumps(plain | {"version": 99}))


def _no_list(folder: Any, path: str) -> None:
    (folder.root / path).write_text('{"stages": 5}')


def _no_graph(folder: Any, path: str) -> None:
    """Written and recorded so, but no ONNX."""
    file = folder.root / path
    file.write_bytes(b"\xff\xff no graph")
    stages = json.loads((folder.root / "stages.json").read_text())
    stages["stages"][0]["files"][0] = asdict(FileRecord.of(folder.root, file))
    (folder.root / "stages.json").write_text(json.dumps(stages))


@pytest.mark.parametrize(
    ("damage", "path", "kind", "message"),
    [
        (_drop, "bundle.json", BundleError, r"holds no readable bundle .*bundle\.json does not exist"),
        (_other_version, "bundle.json", BundleError, r"has version 99, this mixdq reads version 2"),
        (_append, "bundle.json", BundleError, r"bundle\.json is not valid JSON"),
        (_drop, "plan.yaml", MixdqError, r"plan\.yaml does not exist"),
        (_drop, "onnx/tensorrt/unet-16.onnx", BundleError, r"unet-16\.onnx is missing from the bundle"),
        (_append, "onnx/tensorrt/unet-16.onnx", DigestError, r"unet-16\.onnx was changed or damaged"),
        (_no_graph, "onnx/tensorrt/unet-16.onnx", GraphError, r"unet-16\.onnx is no ONNX graph"),
        (_drop, "onnx/tensorrt/unet.weights", BundleError, r"unet\.weights, a graph's weights, is missing"),
        (_append, "onnx/tensorrt/unet.weights", DigestError, r"has 5 bytes where 4 were written"),
        (_append, "stages.json", BundleError, r"stages\.json is not valid JSON"),
        (_no_list, "stages.json", BundleError, r"stages\.json lists no stages"),
    ],
)
def test_what_is_missing_or_damaged_is_named(
    folder: Any, damage: Any, path: str, kind: type[MixdqError], message: str
) -> None:
    damage(folder, path)
    with pytest.raises(kind, match=message):
        _subjects(folder)


def test_a_plan_that_was_changed_after_the_build_is_refused(folder: Any) -> None:
    path = folder.root / "plan.yaml"
    path.write_text(path.read_text().replace("W8A8", "W8A16"))
    with pytest.raises(DigestError, match=r"plan\.yaml was changed after the bundle was built"):
        _subjects(folder)
