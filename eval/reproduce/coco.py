"""COCO's captions in the order of the annotations, which is the order of the paper's prompts."""

from __future__ import annotations

from pathlib import Path

from mixdq.configs.documents import parse, read_json
from mixdq.configs.errors import EvaluationError
from mixdq.eval.images.prompts import CocoCaptions, read_prompts


def recipe_prompts(path: Path) -> tuple[str, ...]:
    """The prompts of a file; of COCO's captions (`captions_val2014.json`) one an image.

    An image's caption is the first of its annotations in the file, and images come in the order of these:
    40,504 prompts of the validation set of 2014, white space at their ends taken away. (`mixdq-eval images`
    orders the same captions by image.) Any other file is read as it reads it.

    Raises:
        StorageError: the file can't be read.
        EvaluationError: it is neither text nor JSON of a known form, or an image's caption is empty.
    """
    if path.suffix.lower() != ".json" or not path.is_file():
        return read_prompts(path)
    data = read_json(object, path, EvaluationError)
    if not (isinstance(data, dict) and "annotations" in data):
        return read_prompts(path)
    captions = parse(CocoCaptions, data, str(path), EvaluationError)
    first: dict[int, str] = {}
    for annotation in captions.annotations:
        first.setdefault(annotation.image_id, annotation.caption.strip())
    if empty := [image for image, caption in first.items() if not caption]:
        raise EvaluationError(f"{path}: the first caption of image {empty[0]} is empty; fetch the file again")
    if not first:
        raise EvaluationError(f"{path} holds no captions; fetch the file again")
    return tuple(first.values())
