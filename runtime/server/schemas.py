"""What the API takes and gives: OpenAI's images, with a few fields of our own."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from mixdq.runtime.server.encode import PictureFormat

MOST_PICTURES = 10
"""Of one request, as in OpenAI's API."""

AUTO = "auto"
_SEED_LIMIT = 2**63


def _check_text(text: str) -> str:
    if "\0" in text:
        raise ValueError("a NUL is no text")
    return text


def _check_false(value: bool) -> bool:
    if value:
        raise ValueError("pictures come whole; leave it out")
    return value


Prompt = Annotated[str, Field(min_length=1), AfterValidator(_check_text)]
Seed = Annotated[int, Field(ge=0, lt=_SEED_LIMIT)]
# The literal False would be 0, too.
Never = Annotated[bool, AfterValidator(_check_false), WithJsonSchema({"type": "boolean", "const": False})]


class Taken(BaseModel):
    """A body: its fields have exactly these types, and there are no others."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class ImagesRequest(Taken):
    """Pictures of one prompt.

    Fields of OpenAI's that choose nothing here (`user`, `moderation`, …) are taken and change nothing; values
    that ask for what this server can't give are refused.
    """

    prompt: Prompt = Field(description="What to draw.")
    model: str | None = Field(None, description="As `/v1/models` names it.")
    n: Annotated[int, Field(ge=1, le=MOST_PICTURES)] | None = Field(
        None, description="Pictures; 1 if not given."
    )
    size: str | None = Field(
        None,
        pattern=r"^(auto|[1-9][0-9]{0,4}x[1-9][0-9]{0,4})$",
        description="`WIDTHxHEIGHT` of one that is served, or `auto` (if not given): what the load allows.",
    )
    response_format: Literal["b64_json", "url"] | None = Field(
        None, description="`url` gives a `data:` URL; pictures are not kept. `b64_json` if not given."
    )
    output_format: Annotated[PictureFormat, Field(strict=False)] | None = Field(
        None, description="`png` if not given."
    )
    output_compression: Annotated[int, Field(ge=0, le=100)] | None = Field(
        None, description="Quality of WebP and JPEG; 100, the best, if not given."
    )
    seed: Seed | None = Field(
        None,
        description="Of the first picture's noise, one more for each other; random if not given.",
    )
    slo_ms: Annotated[float, Field(gt=0, le=3_600_000, strict=False)] | None = Field(
        None,
        description="Milliseconds until the pictures are due; the server's objective if not given.",
    )
    priority: Annotated[int, Field(ge=-10, le=10)] | None = Field(
        None, description="A lower number is served first; 0 if not given."
    )
    allow_downgrade: bool | None = Field(
        None, description="Whether a smaller picture than `size` may be given under load; false if not given."
    )
    quality: Literal["auto", "standard"] | None = Field(None, description="There is one.")
    background: Literal["auto", "opaque"] | None = Field(None, description="There is one.")
    moderation: Literal["auto", "low"] | None = Field(None, description="Changes nothing: there is none.")
    stream: Never | None = Field(None, description="Pictures come whole.")
    user: str | None = Field(None, description="Changes nothing.")
    safety_identifier: str | None = Field(None, description="Changes nothing.")

    @property
    def pixels(self) -> int | None:
        """Of each side; None for `auto`.

        Raises:
            ValueError: the picture would not be square.
        """
        if self.size in (None, AUTO):
            return None
        width, height = map(int, str(self.size).split("x"))
        if width != height:
            raise ValueError(f"pictures are square, and {self.size} is not")
        return width


class PictureTimings(BaseModel):
    """Where a picture's time went, in milliseconds."""

    wait_ms: float = Field(description="From arrival until its batch began.")
    service_ms: float = Field(description="Of its batch on the worker.")


class ImageObject(BaseModel):
    """One picture."""

    b64_json: str | None = Field(None, description="The file in base64.")
    url: str | None = Field(None, description="The file as a `data:` URL.")
    seed: int = Field(description="That it was drawn from.")
    size: str = Field(description="`WIDTHxHEIGHT`.")
    late: bool = Field(description="Whether it was made after its deadline.")
    batch: int = Field(description="Pictures made together, itself included.")
    attempts: int = Field(description="Times that a worker began with it.")
    timings: PictureTimings


class AnswerTimings(BaseModel):
    """Where a request's time went, in milliseconds."""

    total_ms: float = Field(description="From the body's arrival to the answer.")
    encode_ms: float = Field(description="From pictures to files.")


class ImagesResponse(BaseModel):
    """The pictures of a request."""

    created: int = Field(description="Unix time in seconds.")
    model: str
    data: list[ImageObject]
    size: str | None = Field(description="Of all pictures; null if they differ.")
    output_format: PictureFormat
    timings: AnswerTimings


class ModelObject(BaseModel):
    """A model that is served."""

    id: str
    object: Literal["model"] = "model"
    created: int = Field(description="Unix time in seconds at which it was loaded.")
    owned_by: str
    precision: str = Field(description="The plan in words.")
    sizes: list[str] = Field(description="That may be asked for.")


class ModelList(BaseModel):
    """All models."""

    object: Literal["list"] = "list"
    data: list[ModelObject]


class GenerateRequest(Taken):
    """What clients of the earlier server send."""

    prompt: Prompt = Field(description="What to draw.")
    res: Annotated[int, Field(ge=1, le=99_999)] | None = Field(
        None, description="Pixels of each side; what the load allows if not given."
    )
    wbits: Annotated[int, Field(ge=1, le=32)] | None = Field(
        None, description="Bits of the weights: what the bundle has, if given."
    )
    steps: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        None, description="Denoising steps: what the server makes, if given."
    )
    cfg_scale: Annotated[float, Field(ge=0, le=100, strict=False)] | None = Field(
        None, description="At most 1: one-step models have no guidance."
    )
    seed: Seed | None = Field(None, description="Where the noise starts; random if not given.")


class GenerateResponse(BaseModel):
    """What clients of the earlier server read."""

    lat_ms: float = Field(description="From arrival to the finished picture.")
    peak_mem_gb: float | None = Field(description="Of the device; null where it is not known.")
    png: str = Field(description="In base64.")
