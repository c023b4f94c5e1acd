"""The extractor of tutorials: what is run, what is written, what is compared."""

import pytest

from .reading import Command, NewFile, TutorialError, read_steps
from .running import Done, first_missing

PAGE = """
```console
$ first --long \\
    --more
it prints 3 lines
error: or not
$ second
```
```python title="a/b.py"
x = 1
```
```python
print(x)
```
```sh
not-run
```
"""


def test_blocks_become_commands_files_and_programs_in_their_order() -> None:
    assert read_steps(PAGE) == (
        Command("first --long \\\n    --more", ("it prints 3 lines", "error: or not")),
        Command("second"),
        NewFile("a/b.py", "x = 1\n"),
        Command("python - <<'PROGRAM'\nprint(x)\nPROGRAM"),
    )


@pytest.mark.parametrize(
    "block", ["```console\nno command\n```\n", "```\nplain\n```\n", "```yaml\na: 1\n```\n"]
)
def test_a_block_that_nobody_could_follow_is_refused(block: str) -> None:
    with pytest.raises(TutorialError):
        read_steps(block)


@pytest.mark.parametrize(
    ("expected", "output", "missing"),
    [
        (("a 1 b",), "x\n  a   27.5 b y", None),
        (("plan 0123456789ab",), "plan ffff00001111", None),
        (("took … s",), "took about 9 s", None),
        (("one", "two"), "two\none", "two"),
        (("a 1 b",), "a b", "a 1 b"),
        (("plan 0123456789ab",), "plan w8a8", "plan 0123456789ab"),
    ],
)
def test_lines_are_found_in_order_whatever_the_numbers(
    expected: tuple[str, ...], output: str, missing: str | None
) -> None:
    assert first_missing(expected, output) == missing


@pytest.mark.parametrize(
    ("shown", "code", "output", "fault"),
    [
        ("fine", 0, "fine", None),
        ("fine", 1, "fine", "expected exit code 0, found 1"),
        ("fine", 0, "other", "does not print 'fine'"),
        ("error: no", 2, "error: no such thing", None),
        ("error: no", 0, "error: no such thing", "expected an error, found 0"),
        ("fine", None, "fine", "expected exit code 0, found None"),
    ],
)
def test_what_differs_from_the_page_is_said(
    shown: str, code: int | None, output: str, fault: str | None
) -> None:
    assert Done(Command("c", (shown,)), code, output).fault() == fault
