"""How many pictures one step makes at once; apart from the step, because that imports torch."""

from __future__ import annotations

_CPU_PIXELS, _GPU_PIXELS = 8 * 128**2, 8 * 512**2  # a CPU's caches hold no more; a GPU is busy with these
_MOST_PROMPTS, _USUAL_VARIANTS = 32, 6


def prompts_at_once(resolution: int, device: str, variants: int) -> int:
    """Prompts that a step computes together, if nobody says otherwise.

    Args:
        resolution: pixels.
        device: torch's name of it.
        variants: how often each prompt runs, side by side.
    """
    prompts = min(_MOST_PROMPTS, decoded_at_once(resolution, device))
    return max(1, prompts * _USUAL_VARIANTS // max(_USUAL_VARIANTS, variants))


def decoded_at_once(resolution: int, device: str) -> int:
    """Pictures that the VAE decodes together."""
    return max(1, (_CPU_PIXELS if device == "cpu" else _GPU_PIXELS) // resolution**2)
