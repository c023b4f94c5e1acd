"""Which emoji the dual encoder never sees in training: a tenth, by a hash of the family's name."""

from __future__ import annotations

import hashlib
import re
from enum import StrEnum

_SALT = "emoji alignment"
_PARTS = 20

# Several emoji that differ in who is shown, or in the hour, are one family: an encoder that has seen "man
# juggling" has as good as seen "woman juggling".
_HOURS = re.compile(r"o'clock|-thirty")
_GROUPS = re.compile(r"(family|couple with heart|kiss|keycap)\b")
_WHO = re.compile(
    r"\b(women|woman|men|man|people|person|girl|boy|male|female|child|older|old|mrs\.|mx)\b('s)?"
)


class Side(StrEnum):
    """What an emoji is for."""

    TRAIN = "train"
    VALIDATE = "validate"
    """Trained on in the end, and left out where settings are compared."""
    HELD_OUT = "held out"


def family(label: str) -> str:
    """The name that emoji share which stay on one side.

    All clock faces; all families, couples, kisses and keycaps; and those whose labels are the same without
    the words for gender and age: "man juggling", "person juggling". Skin tones have no labels of their own.
    """
    if _HOURS.search(label):
        return "clock"
    if match := _GROUPS.match(label):
        return match[1]
    return " ".join(re.sub(r"[^\w]+", " ", _WHO.sub(" ", label)).split()) or "person"


def side(label: str) -> Side:
    """The side of an emoji, a function of its family's name alone."""
    digest = hashlib.sha256(f"{_SALT}:{family(label)}".encode()).digest()
    part = int.from_bytes(digest[:8], "big") % _PARTS
    if part < 2:
        return Side.HELD_OUT
    return Side.VALIDATE if part < 4 else Side.TRAIN
