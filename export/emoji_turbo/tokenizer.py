"""A small BPE tokenizer in CLIP's form: lower case, byte level, `</w>` ends a word."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

BOS, EOS = "<|startoftext|>", "<|endoftext|>"
LENGTH = 77
"""Tokens of every prompt, padding included, as in CLIP."""

_END = "</w>"
# CLIP's word pattern (Radford et al. 2021): contractions, words, single digits, runs of signs.
_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def train_tokenizer(captions: Iterable[str], vocabulary: int) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Learns (vocabulary, merges): all 512 byte tokens first, BOS and EOS last, so that any text has tokens.

    EOS has the highest id: CLIP's pooling finds it both as the greatest id and by `eos_token_id`.
    """
    tokenizer = Tokenizer(BPE(end_of_word_suffix=_END, continuing_subword_prefix=""))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = BpeTrainer(
        vocab_size=vocabulary * 2, initial_alphabet=alphabet, end_of_word_suffix=_END, show_progress=False
    )
    tokenizer.train_from_iterator(captions, trainer)
    tokens = [*alphabet, *(letter + _END for letter in alphabet)]
    learned = [(a, b) for a, b in json.loads(tokenizer.to_str())["model"]["merges"]]
    merges = learned[: vocabulary - len(tokens) - 2]
    tokens += [a + b for a, b in merges]
    # Too few captions fill the vocabulary only in part; the ids up to it stay unused.
    tokens += [f"<|unused{i}|>" for i in range(vocabulary - len(tokens) - 2)]
    tokens += [BOS, EOS]
    return {token: i for i, token in enumerate(tokens)}, merges


def write_tokenizer(folder: Path, vocab: dict[str, int], merges: list[tuple[str, str]], pad: str) -> None:
    """Writes the files from which transformers' `CLIPTokenizer` loads; `pad` fills up to 77 tokens."""
    folder.mkdir(parents=True, exist_ok=True)
    special = {"bos_token": BOS, "eos_token": EOS, "unk_token": EOS, "pad_token": pad}
    settings = {
        **special,
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": LENGTH,
        "do_lower_case": True,
    }
    lines = ["#version: 0.2", *(f"{a} {b}" for a, b in merges)]
    (folder / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "special_tokens_map.json").write_text(json.dumps(special, indent=2) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
