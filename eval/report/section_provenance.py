"""Where every figure comes from: files with their digests, machines, versions, bundles."""

from __future__ import annotations

from collections.abc import Iterator

from mixdq.eval.report.results import Results
from mixdq.eval.report.view import Block, Cell, Heading, Section, Table
from mixdq.eval.report.words import brief, cells

KINDS = {
    "bundles": "bundle",
    "compilations": "compilation",
    "plans": "plan",
    "layers": "layers",
    "sensitivities": "sensitivities",
    "image_sets": "pictures",
    "qualities": "quality",
    "latencies": "latency",
    "memories": "memory",
    "grids": "grid",
    "ablations": "ablation",
    "predictions": "prediction",
    "loads": "load test",
    "matrices": "load matrix",
    "replays": "replay",
    "overloads": "overload",
    "comparisons": "comparison",
    "selftests": "self-test",
    "deployments": "deployment",
    "text_embeds": "text embedding",
    "forms": "forms",
    "reproductions": "reproduction",
    "structures": "structure",
    "gpu_trials": "UNet on a GPU",
    "kernels": "kernels",
}
"""What the kinds of documents are called."""


def provenance_section(results: Results) -> Section:
    """All documents, machines, packages and engines."""
    return Section(
        "provenance",
        "Provenance",
        tuple(_blocks(results)),
        "Every figure above comes from one of these files; the digests are SHA-256.",
    )


def _blocks(results: Results) -> Iterator[Block]:
    yield Table(
        key="documents",
        caption="Documents",
        heads=("file", "kind", "machine", "SHA-256"),
        rows=tuple(
            cells(
                Cell(", ".join([document.name, *document.copies]), code=True),
                KINDS[kind],
                results.origins.letter(document) or "–",
                Cell(document.sha256, code=True),
            )
            for kind, document in results.found.documents()
        ),
        words=frozenset({"kind", "machine", "SHA-256"}),
    )
    yield from _machines(results)
    yield from _commands(results)
    if results.found.bundles:
        yield from _bundles(results)


def _machines(results: Results) -> Iterator[Block]:
    if len(results.origins):
        yield Table(
            key="machines",
            caption="Machines and the packages that did the work",
            heads=("machine", "what", "packages"),
            rows=tuple(
                cells(
                    origin.letter,
                    origin.in_words,
                    ", ".join(f"{name} {text}" for name, text in sorted(origin.versions.items())),
                )
                for origin in results.origins
            ),
            words=frozenset({"what", "packages"}),
        )


def _commands(results: Results) -> Iterator[Block]:
    rows = []
    for _, document in results.found.documents():
        content = document.content
        commands = getattr(content, "commands", ())
        file = Cell(document.name, code=True)
        rows += [
            cells(file, Cell(command, code=True))
            for command in commands or filter(None, [getattr(content, "command", "")])
        ]
        settings = dict(getattr(content, "settings", {}))
        rows += [cells(file, f"{name}: {text}") for name, text in settings.items()]
    if rows:
        yield Table(
            key="commands",
            caption="Commands and settings, where the documents name them",
            heads=("file", "command or setting"),
            rows=tuple(rows),
            words=frozenset({"command or setting"}),
            folded=True,
        )


def _bundles(results: Results) -> Iterator[Block]:
    yield Heading("Bundles")
    yield Table(
        key="bundles",
        caption="What each bundle was made from",
        heads=("bundle", "model", "model's digest", "plan", "plan's digest", "ranges", "pixels", "targets"),
        rows=tuple(
            cells(
                Cell(document.name.removesuffix("/bundle.json"), code=True),
                document.content.model.name,
                Cell(brief(document.content.model.digest), code=True),
                document.content.plan_summary,
                Cell(brief(document.content.plan_digest), code=True),
                Cell(brief(document.content.ranges_digest), code=True),
                ", ".join(map(str, document.content.resolutions)),
                ", ".join(sorted({engine.target for engine in document.content.engines})),
            )
            for document in results.found.bundles
        ),
        words=frozenset({"model", "model's digest", "plan", "plan's digest", "ranges", "pixels", "targets"}),
    )
    files = {
        (document.name.removesuffix("/bundle.json"), record.path): (engine, record)
        for document in results.found.bundles
        for engine in document.content.engines
        for record in (engine.file, *engine.weights)
    }
    yield Table(
        key="engines",
        caption="Engines and their weights",
        heads=("bundle", "file", "builder", "built for", "bytes", "SHA-256"),
        rows=tuple(
            cells(
                Cell(bundle, code=True),
                Cell(record.path, code=True),
                engine.builder,
                engine.built_for,
                f"{record.bytes:,}",
                Cell(record.sha256, code=True),
            )
            for (bundle, _), (engine, record) in files.items()
        ),
        words=frozenset({"file", "builder", "built for", "SHA-256"}),
        folded=True,
    )
