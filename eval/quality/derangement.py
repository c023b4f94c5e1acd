"""Other pictures' prompts: a control that every score of pictures against prompts has to pass."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from mixdq.configs.quality_table import Control
from mixdq.eval.quality.bootstrap import Bootstrap, mean_interval
from mixdq.eval.scorer import Scores


def derange(prompts: Sequence[str], seed: int) -> tuple[str, ...] | None:
    """The same prompts in another order in which none is where an equal one was.

    Args:
        prompts: one a picture.
        seed: of the order.

    Returns:
        None if there is no such order: one prompt takes more than half of the places.
    """
    places = defaultdict(list)
    for place, prompt in enumerate(prompts):
        places[prompt].append(place)
    most = max(map(len, places.values()))
    if 2 * most > len(prompts):
        return None
    groups = list(places.values())
    shuffled = [groups[number] for number in np.random.default_rng(seed).permutation(len(groups))]
    # With equal prompts side by side, a step as long as the longest run of them leaves every run.
    order = [place for group in shuffled for place in group]
    deranged = list(prompts)
    for place, other in zip(order, order[most:] + order[:most], strict=True):
        deranged[place] = prompts[other]
    return tuple(deranged)


def control_of_prompts(
    metric: str, folder: str, own: Scores, others: Scores, bootstrap: Bootstrap
) -> Control:
    """Whether pictures score clearly higher with their own prompts than with those of others.

    Args:
        metric: the score's name.
        folder: the pictures'.
        own: scores of pictures with their prompts.
        others: scores of the same pictures with deranged prompts.
        bootstrap: for the interval of the mean difference, which must lie above 0.
    """
    found = mean_interval(own - others, bootstrap)
    passed = found.low > 0
    return Control(
        name="deranged prompts",
        metric=metric,
        pictures=folder,
        value=found.mean,
        low=found.low,
        high=found.high,
        count=len(own),
        passed=passed,
        means=(
            "expected pictures to score higher with their own prompts than with others', found "
            f"{found.mean:+.4f} ({found.low:+.4f} to {found.high:+.4f}) over {len(own)} pictures"
        ),
    )


def control_without_others(metric: str, folder: str, count: int) -> Control:
    """The control of pictures whose prompts are too much alike: it fails, as it shows nothing."""
    return Control(
        name="deranged prompts",
        metric=metric,
        pictures=folder,
        value=0.0,
        low=None,
        high=None,
        count=count,
        passed=False,
        means=(
            "expected prompts that differ from picture to picture, found one at more than half of the "
            f"{count} pictures, so that nothing shows whether the score tells prompts apart"
        ),
    )
