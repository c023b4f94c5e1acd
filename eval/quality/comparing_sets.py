"""FID and KID of sets against the reference, each after a control: the reference against itself."""

from __future__ import annotations

from collections.abc import Sequence

from mixdq.configs.quality_table import Control
from mixdq.eval.quality.distances import fid, kid, spread
from mixdq.eval.quality.features import Features, extract
from mixdq.eval.quality.found import Found, SetDistances, Watch
from mixdq.eval.quality.networks import FeatureNetwork, check_resize, open_effnet_lite0, open_inception
from mixdq.eval.quality.pictures import DrawnSet, PictureSet
from mixdq.eval.quality.request import Metric, QualityRequest

SELF_TOLERANCE = 1e-6
"""An FID of a set with itself of more than this part of the features' variance is no rounding."""


def open_networks(request: QualityRequest) -> list[FeatureNetwork]:
    """Every feature network that is wanted and that there are weights for.

    Raises:
        EvaluationError: weights that are missing or of another kind, or a resizing that none has.
    """
    if not (request.wants(Metric.FID) or request.wants(Metric.KID)):
        return []
    check_resize(request.resize, with_inception=request.weights.inception is not None)
    networks = []
    if request.weights.inception is not None:
        networks.append(open_inception(request.weights.inception, request.resize, request.device))
    if request.with_effnet:
        networks.append(open_effnet_lite0(request.device))
    return networks


def compare_sets(
    networks: Sequence[FeatureNetwork],
    request: QualityRequest,
    reference: PictureSet,
    sets: Sequence[DrawnSet],
    watch: Watch,
) -> Found:
    """FID and KID of every set with every feature network.

    Raises:
        EvaluationError: damaged pictures or weights.
    """
    found = Found()
    for network in networks:
        found = found.joined(_compare(network, request, reference, sets, watch))
    return found


def control_of_self(metric: str, folder: str, features: Features) -> Control:
    """The FID of a set with itself, in reverse order; it must be 0 but for rounding."""
    value, allowed = fid(features, features[::-1]), SELF_TOLERANCE * spread(features)
    return Control(
        name="set against itself",
        metric=metric,
        pictures=folder,
        value=value,
        low=None,
        high=None,
        count=len(features),
        passed=abs(value) <= allowed,
        means=f"expected 0 within {allowed:.1e} (a millionth of the features' variance), found {value:.1e}",
    )


def _compare(
    network: FeatureNetwork,
    request: QualityRequest,
    reference: PictureSet,
    sets: Sequence[DrawnSet],
    watch: Watch,
) -> Found:
    features = [
        extract(
            network,
            pictures,
            request.cache,
            request.batch,
            watch(f"features{network.suffix} of {pictures.folder.name}"),
        )
        for pictures in (reference, *sets)
    ]
    theirs, ours = features[0], features[1:]
    metric = network.metric("FID")
    control = control_of_self(metric, str(reference.folder), theirs)
    wanted = [name for name in ("FID", "KID") if request.wants(Metric(name.lower()))]
    if not control.passed:
        reason = f"refused: the control gave {control.means}"
        return Found(controls=(control,), not_scored={network.metric(name): reason for name in wanted})
    values = {
        "FID": lambda own: fid(theirs, own),
        "KID": lambda own: kid(theirs, own),
    }
    distances = tuple(
        SetDistances(
            network.metric(name), network.sha256, tuple(values[name](own) for own in ours), len(ours[0])
        )
        for name in wanted
    )
    return Found(distances=distances, controls=(control,))
