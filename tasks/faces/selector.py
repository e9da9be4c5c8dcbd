"""How a face is asked for, in words: the one grammar of the command line, of manifests and of reports; pure.

largest    in each shot the face that covers most, summed over the shot
all        every face
left       the leftmost face of each shot, by its mean place;  right  likewise
#N         the Nth face of each shot from the left, from 1
track:N    the person that a report calls track N, wherever they are
like:FILE  the person who looks most like the one in a photo;  like:FILE#N  the Nth face of the photo from the left
"""

import re
from dataclasses import dataclass, replace
from typing import Final, Literal

Kind = Literal["largest", "all", "left", "right", "number", "track", "like"]

EXPECTED: Final = (
    "largest, all, left, right, #N (the Nth face from the left, from 1), track:N (of a report) "
    "or like:PHOTO (like:PHOTO#2 where it shows several)"
)
_LIKE: Final = re.compile(r"like:(?P<photo>.+?)(?:#(?P<number>[1-9][0-9]?))?")


@dataclass(frozen=True)
class FaceSelector:
    """Which face is meant."""

    kind: Kind
    number: int = 0
    "from 1, for kind `number`; the track's own, for kind `track`; of the photo's faces, 0: its only one, for `like`"
    photo: str = ""
    "URI, for kind `like`"

    def __str__(self) -> str:
        words = {"number": f"#{self.number}", "track": f"track:{self.number}"}
        if self.kind == "like":
            return f"like:{self.photo}" + (f"#{self.number}" if self.number else "")
        return words.get(self.kind, self.kind)

    def at(self, photo: str) -> "FaceSelector":
        """The same with its photo elsewhere."""
        return replace(self, photo=photo)


def parse_face_selector(text: str) -> FaceSelector:
    """The selector that `text` writes.

    Raises:
        ValueError: the text is no selector; says what would be.
    """
    word = text.strip()
    if word in ("largest", "all", "left", "right"):
        return FaceSelector(word)  # type: ignore[arg-type]
    if re.fullmatch(r"#[1-9][0-9]{0,3}", word):
        return FaceSelector("number", int(word[1:]))
    if re.fullmatch(r"track:[0-9]{1,6}", word):
        return FaceSelector("track", int(word[6:]))
    if found := _LIKE.fullmatch(word):
        return FaceSelector("like", int(found["number"] or 0), found["photo"].strip())
    raise ValueError(f"face selector {text!r} is not understood; expected {EXPECTED}")


def parse_speaker(text: str) -> tuple[FaceSelector, str]:
    """(whose mouth, which voice) of `SELECTOR=FILE`; a bare number is short for track:N.

    Raises:
        ValueError: the text is none, or would mean several faces; says what would be.
    """
    who, equals, voice = _halves(text)
    expected = "expected WHO=VOICE: a number of the people list, track:N, left, right, #N or like:PHOTO, as 2=b.wav"
    if not equals or not who.strip() or not voice.strip():
        raise ValueError(f"speaker {text!r} is not understood; {expected}")
    word = who.strip()
    selector = parse_face_selector(f"track:{word}" if re.fullmatch(r"[0-9]{1,6}", word) else word)
    if selector.kind in ("all", "largest"):
        raise ValueError(f"speaker {text!r}: {selector.kind} is what --face takes for --audio; {expected}")
    return selector, voice.strip()


def _halves(text: str) -> tuple[str, str, str]:
    """A photo's name may hold `=`; the last one before the voice counts then."""
    return text.rpartition("=") if text.lstrip().startswith("like:") else text.partition("=")
