from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from mixdq.configs.errors import StorageError
from mixdq.configs.files import remove, sha256_of_file, sha256_of_text, write_text, writing

# Python ignores SIGXFSZ from its start, so a write past the limit fails as on a full disk: with an error.
_LIMITED = """
import resource, sys
from pathlib import Path
from mixdq.configs.errors import StorageError
from mixdq.configs.files import writing

def stream(path):
    with path.open("wb") as file:
        for _ in range(200):
            file.write(bytes(100))

resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    with writing(Path(sys.argv[1])) as temporary:
        {make}
except StorageError as error:
    print(error)
"""
_MAKE_FILE = "temporary.write_bytes(bytes(2000))"
_MAKE_FOLDER = (
    "temporary.mkdir(); (temporary / 'a').write_bytes(b'a'); (temporary / 'b').write_bytes(bytes(2000))"
)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_whole_and_alone_in_new_folders(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "plan.yaml"
    with writing(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
        assert temporary.parent == path.parent
    assert path.read_text() == "whole"
    assert _names(path.parent) == ["plan.yaml"]


def test_a_file_replaces_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    write_text(path, "first")
    write_text(path, "zweiter Wurf: ü")
    assert path.read_bytes() == "zweiter Wurf: ü".encode()
    assert _names(tmp_path) == ["plan.yaml"]


def test_a_folder_replaces_the_one_before_with_all_that_it_held(tmp_path: Path) -> None:
    path = tmp_path / "model"
    for name in ("old", "new"):
        with writing(path) as temporary:
            temporary.mkdir()
            (temporary / name).write_text(name)
    assert _names(tmp_path) == ["model"]
    assert _names(path) == ["new"]


def test_a_folder_replaces_a_file(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_text("a file")
    with writing(path) as temporary:
        temporary.mkdir()
    assert path.is_dir()


@pytest.mark.parametrize("fault", [ValueError("a defect"), KeyboardInterrupt(), SystemExit(3)])
@pytest.mark.parametrize("folder", [False, True], ids=["file", "folder"])
def test_whatever_ends_the_block_leaves_what_was_there(
    tmp_path: Path, fault: BaseException, folder: bool
) -> None:
    path = tmp_path / "model"
    path.write_text("before")
    with pytest.raises(type(fault)) as ended, writing(path) as temporary:  # noqa: PT012
        if folder:
            temporary.mkdir()
            (temporary / "half").write_text("half")
        else:
            temporary.write_text("half")
        raise fault
    assert ended.value is fault
    assert path.read_text() == "before"
    assert _names(tmp_path) == ["model"]


_STREAM_FILE = "stream(temporary)"
_STREAM_FOLDER = "temporary.mkdir(); stream(temporary / 'a')"


@pytest.mark.parametrize(
    "make",
    [_MAKE_FILE, _MAKE_FOLDER, _STREAM_FILE, _STREAM_FOLDER],
    ids=["file", "folder", "streamed file", "streamed folder"],
)
def test_a_disk_that_fills_up_leaves_what_was_there(tmp_path: Path, make: str) -> None:
    path = tmp_path / "weights"
    path.write_text("before")
    script = _LIMITED.format(make=make)
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(f"could not write {path}: File too large; nothing was changed there. Free")
    assert path.read_text() == "before"
    assert _names(tmp_path) == ["weights"]


_RUST = "from safetensors.numpy import save_file; save_file({'a': np.zeros(9999)}, temporary)"
_WRAPPED = """
        try:
            stream(temporary)
        except OSError as error:
            raise RuntimeError('the exporter failed') from error"""


@pytest.mark.parametrize("make", [_RUST, _WRAPPED], ids=["safetensors", "wrapped"])
def test_a_full_disk_is_a_storage_error_in_whatever_a_library_says_it(tmp_path: Path, make: str) -> None:
    script = "import numpy as np" + _LIMITED.format(make=make)
    path = tmp_path / "weights"
    command = [sys.executable, "-c", script, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"could not write {path}: File too large; nothing was changed there. Free")
    assert _names(tmp_path) == []


def test_numpy_that_wrote_a_part_only_is_understood(tmp_path: Path) -> None:
    script = "import numpy as np" + _LIMITED.format(make="np.zeros(9999).tofile(temporary)")
    command = [sys.executable, "-c", script, str(tmp_path / "weights")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "weights: the disk took a part only (9999 requested and" in done.stdout
    assert _names(tmp_path) == []


def test_another_error_of_a_library_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="os error 2"), writing(tmp_path / "weights"):
        raise RuntimeError("No such file or directory (os error 2)") from ValueError("a defect")
    assert _names(tmp_path) == []


def test_what_an_earlier_process_of_the_same_number_left_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    with writing(path) as temporary:
        temporary.write_text("whole")
    temporary.mkdir()
    (temporary / "half").write_text("half")
    write_text(path, "again")
    assert path.read_text() == "again"
    assert _names(tmp_path) == ["plan.yaml"]


def test_a_file_where_a_folder_is_needed_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("no folder")
    with pytest.raises(StorageError, match=r"could not write .*out/plan\.yaml: .*choose another folder"):
        write_text(tmp_path / "out" / "plan.yaml", "text")


def test_a_name_that_is_too_long_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"could not write .*: File name too long"):
        write_text(tmp_path / ("n" * 300), "text")
    assert _names(tmp_path) == []


def test_a_file_never_replaces_a_folder(tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").mkdir()
    (tmp_path / "plan.yaml" / "precious").write_text("kept")
    with pytest.raises(StorageError, match="Is a directory; nothing was changed there"):
        write_text(tmp_path / "plan.yaml", "text")
    assert _names(tmp_path) == ["plan.yaml"]
    assert _names(tmp_path / "plan.yaml") == ["precious"]


def test_remove_takes_files_folders_and_links_but_not_what_links_point_to(tmp_path: Path) -> None:
    folder, file, link = tmp_path / "folder", tmp_path / "file", tmp_path / "link"
    folder.mkdir()
    (folder / "inside").write_text("kept")
    file.write_text("")
    link.symlink_to(folder, target_is_directory=True)
    for path in (file, link, tmp_path / "absent"):
        remove(path)
    assert _names(tmp_path) == ["folder"]
    assert _names(folder) == ["inside"]
    remove(folder)
    assert _names(tmp_path) == []


def test_digests_are_those_of_hashlib(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    content = bytes(range(256)) * 5000  # more than one chunk of a mebibyte
    path.write_bytes(content)
    assert sha256_of_file(path) == hashlib.sha256(content).hexdigest()
    # The SHA-256 of the empty text is printed in many documents.
    assert sha256_of_text("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert sha256_of_text("ü") == hashlib.sha256(b"\xc3\xbc").hexdigest()


def test_the_digest_of_a_missing_file_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"could not read .*absent: No such file"):
        sha256_of_file(tmp_path / "absent")
