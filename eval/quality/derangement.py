"""Other pictures' prompts: a control that every score of pictures against prompts has to pass."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from mixdq.configs.quality_table import Control
from mixdq.eval.quality.bootstrap import Bootstrap, mean_interval
from mixdq.eval.scorer import Scores

LEAST_SHARE = 0.9
"""Of the reference's pictures must score higher with their own prompt than with the other they are given.

Where half of the prompts are exchanged, a score that never errs prefers the own prompt of the other half, and
that of the exchanged ones by chance: 0.75. Pictures that show their prompts give nearly 1.
"""


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
    metric: str,
    folder: str,
    own: Scores,
    others: Scores,
    bootstrap: Bootstrap,
    *,
    is_reference: bool,
) -> Control:
    """Whether pictures score clearly higher with their own prompts than with those of others.

    Args:
        metric: the score's name.
        folder: the pictures'.
        own: scores of pictures with their prompts.
        others: scores of the same pictures with deranged prompts.
        bootstrap: for the interval of the mean difference, which must lie above 0.
        is_reference: whether also `LEAST_SHARE` of the pictures must score higher. Of a set that is scored
            only the mean is asked for: how much worse it shows its prompts is what is measured.
    """
    found, share = mean_interval(own - others, bootstrap), float((own > others).mean())
    passed = found.low > 0 and (share >= LEAST_SHARE or not is_reference)
    least = f" (and at least {LEAST_SHARE:.0%} of them one by one)" if is_reference else ""
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
            f"expected pictures to score higher with their own prompts than with others'{least}, found "
            f"{found.mean:+.4f} ({found.low:+.4f} to {found.high:+.4f}) over {len(own)} pictures, higher for "
            f"{share:.1%} of them"
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
