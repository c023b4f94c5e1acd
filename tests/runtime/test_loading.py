import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mixdq.configs.bundle import Component
from mixdq.configs.errors import BundleError, DigestError, TargetError
from mixdq.runtime import load

SwapEngine = Callable[[Component, str], None]

_THREE_LINES = """
import sys
from mixdq.runtime import load
load(sys.argv[1])("a cat", seed=5, resolution=16).save(sys.argv[2])
heavy = {"torch", "diffusers", "transformers", "onnx", "onnx_ir", "onnxscript", "ortools", "skimage"}
found = heavy & {name.partition(".")[0] for name in sys.modules}
sys.exit(f"imported {found}" if found else 0)
"""


def test_a_fresh_interpreter_makes_a_picture_without_any_of_the_compiler_s_libraries(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    picture = tmp_path / "cat.png"
    command = [sys.executable, "-c", _THREE_LINES, str(tiny_bundle), str(picture)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert picture.stat().st_size > 0


def test_a_relative_folder_stays_the_same_after_a_change_of_the_working_folder(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny_bundle.parent)
    pipeline = load(tiny_bundle.name)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert pipeline("abc", seed=5, resolution=16).size == (16, 16)


def _draw(root: Path, target: str = "cpu") -> None:
    load(root, target=target)("abc", seed=5, resolution=16)


def test_an_unknown_target_is_refused(tiny_bundle: Path) -> None:
    with pytest.raises(TargetError, match="unknown target 'gpu'"):
        _draw(tiny_bundle, "gpu")


def test_a_bundle_without_engines_for_the_target_is_refused(tiny_bundle: Path) -> None:
    path = tiny_bundle / "bundle.json"
    path.write_text(path.read_text().replace('"target": "cpu"', '"target": "rtx:sm89"'))
    with pytest.raises(
        TargetError, match=r"built for rtx:sm89, not for cpu; .* MODEL --target rtx:sm89 --target cpu --out"
    ):
        _draw(tiny_bundle)


def test_a_folder_that_holds_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="holds no readable bundle"):
        _draw(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["tokenizer.json", "unet-16.onnx", "text_encoder_2-None.onnx"])
def test_a_damaged_file_is_refused_before_it_is_used(tiny_bundle: Path, name: str) -> None:
    path = tiny_bundle / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DigestError, match=name):
        _draw(tiny_bundle)


@pytest.mark.parametrize("name", ["tokenizer.json", "vae_decoder-16.onnx"])
def test_a_missing_file_is_refused(tiny_bundle: Path, name: str) -> None:
    (tiny_bundle / name).unlink()
    with pytest.raises(BundleError, match=f"{name} is missing"):
        _draw(tiny_bundle)


def test_engines_of_other_resolutions_are_not_read(tiny_bundle: Path) -> None:
    (tiny_bundle / "unet-24.onnx").unlink()
    _draw(tiny_bundle)


def test_a_graph_with_other_tensors_than_the_pipeline_s_is_refused(
    tiny_bundle: Path, swap_engine: SwapEngine
) -> None:
    graph = "v (float[2,4,2,2] z) => (float[2,4,2,2] images) { images = Identity (z) }"
    swap_engine(Component.VAE_DECODER, f'<ir_version: 10, opset_import: ["" : 20]> {graph}')
    with pytest.raises(BundleError, match="takes and gives"):
        _draw(tiny_bundle)


def test_a_graph_that_onnx_runtime_cannot_load_is_refused(tiny_bundle: Path, swap_engine: SwapEngine) -> None:
    graph = "v (float[2,4,2,2] latents) => (float[2,4,2,2] images) { images = nowhere.Op (latents) }"
    swap_engine(Component.VAE_DECODER, f'<ir_version: 10, opset_import: ["" : 20, "nowhere" : 1]> {graph}')
    with pytest.raises(BundleError, match=r"ONNX Runtime .* can't load"):
        _draw(tiny_bundle)


def test_a_bundle_file_of_a_wrong_form_is_refused(tiny_bundle: Path) -> None:
    (tiny_bundle / "bundle.json").write_text('{"version": 2}')
    with pytest.raises(BundleError, match="not a valid bundle"):
        _draw(tiny_bundle)
