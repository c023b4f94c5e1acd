"""Learned scorers whose weights the user brings by path.

- `clip.open_clip_scorer(path, device, batch)`: a `TextImageScorer`; cosine of CLIP's embeddings.
- `image_reward.open_image_reward(path, med_config, tokenizer, device, batch)`: a `TextImageScorer`.
- `lpips.open_lpips(path, device, batch)`: an `LpipsMetric`; `.distance(images, references)`.
- `retrieval.hits(images, texts, prompts)`: RI@1 from CLIP's embeddings.

No weights are downloaded. A file that is missing, is no weights file, or does not fit raises an
`EvaluationError` that says where the weights are published (`clip.HOW_TO_GET`, …).
"""
