"""From folders to the report's files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mixdq.configs.errors import EvaluationError
from mixdq.configs.files import write_text
from mixdq.eval.report.compose import make_page
from mixdq.eval.report.consistency import check_consistency
from mixdq.eval.report.found import find_results
from mixdq.eval.report.render import to_csv, to_html, to_json
from mixdq.eval.report.results import Results


def make_report(paths: Sequence[Path], out: Path, command: str) -> tuple[Path, Path, Path]:
    """Writes the page, and its figures beside it as JSON and CSV, once all three are made.

    Args:
        paths: folders of results, or single documents.
        out: the page; the others have its name and other endings.
        command: that was given, for the page.

    Returns:
        The page, the JSON file and the CSV file.

    Raises:
        EvaluationError: nothing is there that could be shown, documents are broken or contradict each other,
            or `out` has no ending `.html`.
        StorageError: a file can't be written.
    """
    if out.suffix not in (".html", ".htm"):
        raise EvaluationError(f"--out {out} must end in .html; the JSON and CSV files are named after it")
    results = Results(find_results(paths))
    check_consistency(results.found)
    page = make_page(results)
    texts = {
        out: to_html(page, command),
        out.with_suffix(".json"): to_json(page, command),
        out.with_suffix(".csv"): to_csv(page),
    }
    for path, text in texts.items():
        write_text(path, text)
    return out, out.with_suffix(".json"), out.with_suffix(".csv")
