"""FID and KID of sets against the reference, each after a control: the reference against itself."""

from __future__ import annotations

from collections.abc import Sequence

from mixdq.configs.errors import EvaluationError
from mixdq.configs.quality_table import Control
from mixdq.eval.quality.distances import fid, kid, spread
from mixdq.eval.quality.features import Features, extract
from mixdq.eval.quality.found import Found, SetDistances, Watch
from mixdq.eval.quality.networks import FeatureNetwork, check_resize, open_effnet_lite0, open_inception
from mixdq.eval.quality.pictures import DrawnSet, PictureSet
from mixdq.eval.quality.request import Metric, QualityRequest

SELF_TOLERANCE = 1e-5
"""An FID of a set with itself of more than this part of the features' variance is no rounding."""


def open_networks(
    request: QualityRequest, reference: PictureSet, sets: Sequence[DrawnSet]
) -> tuple[list[FeatureNetwork], dict[str, str]]:
    """Every feature network that is wanted and that there are weights for; why there is no distance at all.

    Raises:
        EvaluationError: weights that are missing or of another kind, a resizing that none has, or a distance
            was asked for and a set has one picture.
    """
    wanted = [metric for metric in (Metric.FID, Metric.KID) if request.wants(metric)]
    if not wanted:
        return [], {}
    check_resize(request.resize, with_inception=request.weights.inception is not None)
    single = [str(pictures.folder) for pictures in (reference, *sets) if len(pictures.digests) < 2]
    if single:
        names = [metric.upper() for metric in wanted]
        reason = f"a distance between sets needs at least two pictures of each, and {single[0]} holds one"
        if any(map(request.demands, wanted)):
            raise EvaluationError(f"{' and '.join(names)} can't be measured: {reason}; draw more")
        return [], dict.fromkeys(names, reason)
    networks = []
    if request.weights.inception is not None:
        networks.append(open_inception(request.weights.inception, request.resize, request.device))
    if request.with_effnet:
        networks.append(open_effnet_lite0(request.device))
    return networks, {}


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
        means=f"expected 0 within {allowed:.1e} (a hundred-thousandth of the variance), found {value:.1e}",
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
    few, width = min(map(len, features)), theirs.shape[1]
    biased = few < width and Metric.FID in map(Metric, map(str.lower, wanted))
    note = (
        f"{metric} of {few} pictures with {width} features is far too high: its covariances lack rank, so it "
    )
    note += "orders sets of equal number and says nothing beside others' FID"
    return Found(distances=distances, controls=(control,), notes=(note,) if biased else ())
