"""What a part of the measurement found, before it is a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mixdq.configs.quality_table import Control, Difference, Score
from mixdq.eval.quality.bootstrap import Bootstrap, mean_interval
from mixdq.eval.scorer import Scores

Report = Callable[[int, int], None]
"""Called with the number of pictures that are done, and of all."""

Watch = Callable[[str], Report]
"""Called with what is done next; gives what its progress is reported to."""


@dataclass(frozen=True, slots=True)
class SetDistances:
    """A distance between sets as wholes.

    Attributes:
        metric: its name.
        weights_sha256: of the feature network.
        values: one a set.
        count: pictures of each set.
    """

    metric: str
    weights_sha256: str
    values: tuple[float, ...]
    count: int

    def score(self, place: int) -> Score:
        """The table's entry of the set at a place."""
        return Score(
            metric=self.metric,
            value=self.values[place],
            low=None,
            high=None,
            count=self.count,
            higher_is_better=False,
            against_reference=None,
            weights_sha256=self.weights_sha256,
        )


@dataclass(frozen=True, slots=True, eq=False)
class PictureScores:
    """A metric that gives every picture a number.

    Attributes:
        metric: its name.
        weights_sha256: None if it needs none.
        higher_is_better: which way it goes.
        sets: one row of numbers a set; the same place is the same prompt and seed in all of them.
        reference: the reference set's own numbers; None for metrics that compare with it.
        refused: reasons, by the set's place.
    """

    metric: str
    weights_sha256: str | None
    higher_is_better: bool
    sets: tuple[Scores, ...]
    reference: Scores | None = None
    refused: Mapping[int, str] = field(default_factory=dict)

    def score(self, place: int, bootstrap: Bootstrap) -> Score:
        """The table's entry of the set at a place: mean, interval, and difference to the reference."""
        own = self.sets[place]
        found = mean_interval(own, bootstrap)
        against = None
        if self.reference is not None:
            difference = mean_interval(own - self.reference, bootstrap)
            against = (difference.mean, difference.low, difference.high)
        return Score(
            metric=self.metric,
            value=found.mean,
            low=found.low,
            high=found.high,
            count=len(own),
            higher_is_better=self.higher_is_better,
            against_reference=against,
            weights_sha256=self.weights_sha256,
        )

    def difference(
        self, first: int, second: int, names: tuple[str, ...], bootstrap: Bootstrap
    ) -> Difference | None:
        """How much the first set scores above the second, picture by picture; None if one is refused."""
        if first in self.refused or second in self.refused:
            return None
        found = mean_interval(self.sets[first] - self.sets[second], bootstrap)
        return Difference(
            metric=self.metric,
            first=names[first],
            second=names[second],
            mean=found.mean,
            low=found.low,
            high=found.high,
            count=len(self.sets[first]),
        )


@dataclass(frozen=True, slots=True)
class Found:
    """Results of one part.

    Attributes:
        distances: between sets.
        scores: of pictures.
        controls: what was measured to believe them.
        not_scored: metrics without a result, and why.
        notes: what a reader of the figures should know.
    """

    distances: tuple[SetDistances, ...] = ()
    scores: tuple[PictureScores, ...] = ()
    controls: tuple[Control, ...] = ()
    not_scored: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def joined(self, other: Found) -> Found:
        """Both parts' results."""
        return Found(
            self.distances + other.distances,
            self.scores + other.scores,
            self.controls + other.controls,
            {**self.not_scored, **other.not_scored},
            self.notes + other.notes,
        )
