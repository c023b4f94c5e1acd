import json
import subprocess
import sys
from pathlib import Path

import onnxruntime
import pytest

from mixdq.configs.console import run_app
from mixdq.eval.cli import app
from mixdq.eval.images.read import read_set

_NO_GPU = pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="ONNX Runtime can use a GPU"
)


def _run(
    capfd: pytest.CaptureFixture[str], source: object, out: Path, prompts: Path, *more: object
) -> tuple[object, str, str]:
    """Exit code, stdout and stderr of the command at 16 pixels and seed 7."""
    words = ["images", source, "--out", out, "--prompts", prompts, "--resolution", 16, "--seed", 7, *more]
    with pytest.raises(SystemExit) as ended:
        run_app(app, [str(word) for word in words])
    said = capfd.readouterr()
    return ended.value.code, said.out, said.err


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.txt"
    path.write_text("a cat\n\na dog\na cow\na cat\n", encoding="utf-8")
    return path


def test_a_part_of_a_list_is_drawn_and_said_in_one_line(
    tiny_bundle: Path, prompts: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, out, error = _run(capfd, tiny_bundle, tmp_path / "out", prompts, "--start", 1, "--count", 2)
    assert (code, error) == (0, "")
    assert "2 pictures, 0 were there, 2 drawn in" in out
    assert out.count("\n") == 1
    images = read_set(tmp_path / "out").images
    assert [(one.file, one.prompt, one.seed) for one in images] == [
        ("0001.png", "a dog", 8),
        ("0002.png", "a cow", 9),
    ]
    again = _run(capfd, tiny_bundle, tmp_path / "out", prompts, "--start", 1, "--count", 2)
    assert "all 2 pictures were there" in again[1]


def test_json_says_what_was_done(
    tiny_bundle: Path, prompts: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = _run(capfd, tiny_bundle, tmp_path / "out", prompts, "--allow-duplicates", "--json")
    report = json.loads(out)
    assert code == 0
    assert report.pop("seconds") > 0
    assert report == {"folder": str(tmp_path / "out"), "count": 4, "kept": 0, "drawn": 4, "redrawn": 0}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ((), "prompts 0, 3 are all 'a cat'"),
        (("--count", 9), "holds 4 prompts, and 9 from 0"),
        (("--count", 3, "--precision", "float16"), "is a bundle, whose model and precisions are built in"),
        (("--count", 3, "--vae-precision", "bfloat16"), "is a bundle"),
        (("--count", 3, "--lora", "x.safetensors"), "is a bundle"),
        (("--count", 3, "--device", "tpu"), "unknown device 'tpu'"),
        pytest.param(("--count", 3, "--device", "cuda"), "cuda", marks=_NO_GPU),
    ],
)
def test_bad_options_are_one_line_and_leave_no_folder(
    tiny_bundle: Path,
    prompts: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    more: tuple[object, ...],
    message: str,
) -> None:
    code, out, error = _run(capfd, tiny_bundle, tmp_path / "out", prompts, *more)
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert message in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--count", 3, "--target", "cpu"), "no bundle (it holds no bundle.json)"),
        (("--count", 3, "--jobs", 2), "no bundle"),
        (("--count", 3), "resolution 16 is not a multiple of 32"),
        (("--count", 3, "--scheduler", "ddim"), "no scheduler 'ddim'"),
    ],
)
def test_bad_options_of_the_reference_are_one_line(
    prompts: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], more: tuple[object, ...], message: str
) -> None:
    code, out, error = _run(capfd, "emoji-turbo", tmp_path / "out", prompts, *more)
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert message in error


def test_help_imports_neither_torch_nor_onnx_runtime() -> None:
    program = (
        "import sys\nfrom mixdq.eval.cli import app\n"
        "try:\n    app(['images', '--help'])\nexcept SystemExit as ended:\n    assert ended.code == 0\n"
        "sys.exit(', '.join({'torch', 'onnxruntime'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "--allow-duplicates" in done.stdout
