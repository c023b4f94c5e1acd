"""From a bundle to pictures: `load(DIR)` gives a `Pipeline`, a call of which makes PIL images."""

from mixdq.runtime.loading import load
from mixdq.runtime.pipeline import Pipeline

__all__ = ["Pipeline", "load"]
