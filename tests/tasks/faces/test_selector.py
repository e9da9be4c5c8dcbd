"""The grammar of faces and speakers."""

import pytest

from tasks.faces.selector import FaceSelector, parse_face_selector, parse_speaker


def test_a_photo_and_which_of_its_faces() -> None:
    assert parse_face_selector("like:a/bob.jpg") == FaceSelector("like", 0, "a/bob.jpg")
    assert parse_face_selector("like:s3://b/bob.jpg#12") == FaceSelector("like", 12, "s3://b/bob.jpg")
    assert str(parse_face_selector("like:bob.jpg#2").at("/x/bob.jpg")) == "like:/x/bob.jpg#2"


@pytest.mark.parametrize(
    ("text", "who", "voice"),
    [
        ("2=b.wav", "track:2", "b.wav"),
        ("track:0=b.wav", "track:0", "b.wav"),
        ("left=s3://b/voice.wav?version=2", "left", "s3://b/voice.wav?version=2"),
        ("#3 = c.mp3", "#3", "c.mp3"),
        ("like:bob=2.jpg#2=b.wav", "like:bob=2.jpg#2", "b.wav"),
    ],
)
def test_a_speaker_is_somebody_and_a_voice(text: str, who: str, voice: str) -> None:
    selector, audio = parse_speaker(text)
    assert (str(selector), audio) == (who, voice)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("b.wav", "expected WHO=VOICE"),
        ("2=", "expected WHO=VOICE"),
        ("=b.wav", "expected WHO=VOICE"),
        ("all=b.wav", "all is what --face takes"),
        ("middle=b.wav", "face selector 'middle' is not understood"),
    ],
)
def test_what_is_no_speaker_is_refused(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parse_speaker(text)
