"""ImageReward-v1.0 (Xu et al. 2023): what people would prefer, by BLIP and a small head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL.Image import Image
from tokenizers import Tokenizer

from mixdq.configs.errors import EvaluationError
from mixdq.eval.scorer import Scores
from mixdq.eval.scorers.blip import RewardModel, is_unused, origin, sizes_of
from mixdq.eval.scorers.blip_tokens import open_tokenizer
from mixdq.eval.scorers.computing import check_device, check_pairs, computing, slices
from mixdq.eval.scorers.conversion import fill
from mixdq.eval.scorers.pixels import Preparation
from mixdq.eval.scorers.stored_weights import read_weights

HOW_TO_GET = (
    "ImageReward needs `hf download THUDM/ImageReward ImageReward.pt med_config.json --local-dir DIR` "
    "(1.8 GB) and the vocabulary, `hf download google-bert/bert-base-uncased vocab.txt --local-dir DIR`"
)

# Of the rewards over the training pictures: published ones have mean 0 and deviation 1.
_MEAN = 0.16717362830052426
_STD = 1.0333394966054072


@dataclass(frozen=True, slots=True, eq=False)
class ImageRewardScorer:
    """Rewards: 0 is the mean of the training pictures, 1 their deviation.

    Checked against the networks of image-reward 1.5 with the same random weights: rewards of about -5 differ
    by at most 4e-6 (narrow layers; a published file was not at hand).
    """

    name: str
    weights_sha256: str
    device: str
    batch: int
    _model: RewardModel
    _tokenizer: Tokenizer
    _preparation: Preparation

    def score(self, images: Sequence[Image], prompts: Sequence[str]) -> Scores:
        """The reward of each picture for its prompt.

        Raises:
            EvaluationError: the numbers differ, or the weights give numbers that are not finite.
            MachineError: memory ran out.
        """
        check_pairs(len(images), len(prompts))
        with computing(self.device, self.batch):
            raw = [self._raw(images[part], prompts[part]) for part in slices(len(images), self.batch)]
        rewards: Scores = (np.concatenate(raw) - _MEAN) / _STD
        if not np.isfinite(rewards).all():
            raise EvaluationError(
                f"{self.name} gives rewards that are not finite; its weights are damaged: download them again"
            )
        return rewards

    def _raw(self, images: Sequence[Image], prompts: Sequence[str]) -> Scores:
        tokens = self._tokenizer.encode_batch(list(prompts))
        ids, mask = (
            torch.tensor(rows, device=self.device)
            for rows in ([one.ids for one in tokens], [one.attention_mask for one in tokens])
        )
        rewards: torch.Tensor = self._model(self._preparation.tensor(images).to(self.device), ids, mask)
        return rewards.double().cpu().numpy()


def open_image_reward(
    path: Path, med_config: Path | None, tokenizer: Path | None, device: str, batch: int
) -> ImageRewardScorer:
    """Opens ImageReward.

    Args:
        path: `ImageReward.pt`, or the same tensors as safetensors.
        med_config: `med_config.json`, which is checked against the weights; None for the published values.
        tokenizer: `vocab.txt` of bert-base-uncased or its folder; None for the one beside `path`.
        device: torch's name of it.
        batch: pairs at a time.

    Raises:
        EvaluationError: a file is missing or damaged, or the files don't belong together.
        MachineError: there is no such device.
    """
    check_device(device, batch)
    weights = read_weights(path, HOW_TO_GET)
    sizes = sizes_of(weights, med_config)
    model = RewardModel.empty(sizes)
    fill(model, weights, origin, is_unused, HOW_TO_GET)
    return ImageRewardScorer(
        "ImageReward-v1.0",
        weights.sha256,
        device,
        batch,
        model.to(device),
        open_tokenizer(tokenizer or path.parent, sizes.text["vocab_size"], HOW_TO_GET),
        Preparation(sizes.vision["image_size"]),
    )
