"""Prompts as BLIP's text encoder reads them: BERT's word pieces."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import BertProcessing

from mixdq.configs.errors import EvaluationError

LENGTH = 35
"""Tokens of a prompt; longer ones are cut, the end token stays."""

# BLIP adds [DEC] and [ENC] after the vocabulary; ImageReward uses neither.
_ADDED = 2
_VOCABULARY = "vocab.txt"
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


def open_tokenizer(path: Path, rows: int, how_to_get: str) -> Tokenizer:
    """The tokenizer of bert-base-uncased, with every prompt cut or padded to 35 tokens.

    Args:
        path: `vocab.txt`, or the folder that holds it.
        rows: of the text encoder's embedding.
        how_to_get: where the vocabulary is published.

    Raises:
        EvaluationError: there is none, or it is not the one that the weights were trained with.
    """
    file = path / _VOCABULARY if path.is_dir() else path
    if not file.is_file():
        raise EvaluationError(f"there is no vocabulary at {file}; {how_to_get}")
    vocabulary = _read(file, how_to_get)
    if len(vocabulary) + _ADDED != rows:
        raise EvaluationError(
            f"{file} has {len(vocabulary)} entries, and the weights were trained with {rows - _ADDED}; give "
            "the vocab.txt of bert-base-uncased"
        )
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = BertProcessing(("[SEP]", vocabulary["[SEP]"]), ("[CLS]", vocabulary["[CLS]"]))
    tokenizer.enable_truncation(LENGTH)
    tokenizer.enable_padding(length=LENGTH, pad_id=vocabulary["[PAD]"])
    return tokenizer


def _read(file: Path, how_to_get: str) -> dict[str, int]:
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(f"{file} can't be read as a vocabulary: {error}; {how_to_get}") from error
    entries = lines[:-1] if lines[-1] == "" else lines
    vocabulary = {entry: number for number, entry in enumerate(entries)}
    missing = [entry for entry in _SPECIAL if entry not in vocabulary]
    if missing or len(vocabulary) != len(entries):
        raise EvaluationError(
            f"{file} is no vocabulary of BERT, which has one entry a line and {', '.join(_SPECIAL)} among "
            f"them; {how_to_get}"
        )
    return vocabulary
