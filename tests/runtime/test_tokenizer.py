import json
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTokenizerFast

from mixdq.configs.errors import BundleError, RequestError
from mixdq.runtime.tokenizer import PromptTokenizer

ODD = [
    "",
    " ",
    "a red apple",
    "A Red APPLE!!!",
    "wow! what? yes...",
    "😀 smiling face 👩‍🚀🏳️‍🌈",
    "café naïve Ærøskøbing",
    "cafe\u0301 nai\u0308ve",
    "ﬁne ① ½ ²",
    "it's we've they'll I'd don't",
    "tab\tnew\nline\r\n  many   spaces\u00a0nbsp\u3000ideographic",
    "12345 3.14 1e-5 ١٢٣",
    "漢字かな交じり文 한국어 ไทย العربية",
    "\x00\x01\x07\x7f\u200b\ufeff\u202e control",
    "<|startoftext|>inside<|endoftext|> and after",
    "<|STARTOFTEXT|> < | startoftext | >",
    "İstanbul ǅ ß ẞ ΑΣ",
    "a_b-c+d=e/f\\g{h}[i](j)<k>\"l\"'m'`n`~o^p|q",
    "supercalifragilisticexpialidocious" * 3,
    "very long " * 200,
    "x" * 5000,
    "!",
    "! ! !!",
]


def _train_clip_tokenizer(folder: Path, pad: str, lines: list[str]) -> CLIPTokenizerFast:
    """A byte-pair encoding in CLIP's form: vocab.json and merges.txt, as SDXL ships them."""
    model = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    model.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=900, initial_alphabet=alphabet, end_of_word_suffix="</w>", show_progress=False
    )
    model.train_from_iterator(lines, trainer)
    learned = json.loads(model.to_str())["model"]
    single = [*alphabet, *(f"{letter}</w>" for letter in alphabet)]
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in learned["merges"]]
    tokens = dict.fromkeys([*single, *(merge.replace(" ", "") for merge in merges)])
    tokens |= dict.fromkeys(["<|startoftext|>", "<|endoftext|>"])
    folder.mkdir()
    vocabulary = {token: number for number, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")
    config = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "pad_token": pad}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return CLIPTokenizerFast.from_pretrained(folder)


@pytest.mark.parametrize("pad", ["<|endoftext|>", "!"])
def test_ids_are_those_of_transformers_on_odd_text(tmp_path: Path, pad: str) -> None:
    theirs = _train_clip_tokenizer(tmp_path / "clip", pad, ODD)
    path = tmp_path / "tokenizer.json"
    theirs.backend_tokenizer.save(str(path))
    ours = PromptTokenizer(path, max_tokens=77, pad_token_id=theirs.pad_token_id)
    expected = theirs(
        ODD, padding="max_length", truncation=True, max_length=77, return_tensors="np"
    ).input_ids
    ids = ours(ODD)
    assert ids.dtype == np.int64
    assert len({tuple(row) for row in ids.tolist()}) > 20
    np.testing.assert_array_equal(ids, expected)


def test_a_long_prompt_is_cut_before_its_end_token(tiny_bundle: Path) -> None:
    (ids,) = PromptTokenizer(tiny_bundle / "tokenizer.json", max_tokens=5, pad_token_id=0)(["abcdefgh"])
    assert (ids[0], ids[-1], len(ids)) == (256, 257, 5)


def test_the_state_that_was_saved_with_the_tokenizer_does_not_matter(tiny_bundle: Path) -> None:
    path = tiny_bundle / "tokenizer.json"
    changed = Tokenizer.from_file(str(path))
    changed.enable_truncation(3)
    changed.enable_padding(length=9, pad_id=7)
    changed.save(str(path))
    (ids,) = PromptTokenizer(path, max_tokens=6, pad_token_id=1)(["ab"])
    assert ids.tolist()[:1] + ids.tolist()[3:] == [256, 257, 1, 1]


def test_half_a_surrogate_pair_is_refused(tiny_bundle: Path) -> None:
    tokenizer = PromptTokenizer(tiny_bundle / "tokenizer.json", max_tokens=77, pad_token_id=0)
    with pytest.raises(RequestError, match="surrogate pair at position 2"):
        tokenizer(["ab\ud83d"])


def test_a_file_that_is_no_tokenizer_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text('{"version": "1.0"}')
    with pytest.raises(BundleError, match="no tokenizer"):
        PromptTokenizer(path, max_tokens=77, pad_token_id=0)
