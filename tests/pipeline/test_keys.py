"""What a key says of a task: the content of the files that it names, never the words they were typed as."""

from dataclasses import replace

import pytest

from pipeline.keys import digest_of
from tasks.table import parse_task
from tasks.task import Photo, TaskSpec
from tasks.weights import Weights


def _with_model(typed: str, sha256: str) -> TaskSpec:
    spec = parse_task(f"lip-sync:model={typed}")
    return replace(spec, weights=(Weights("model", typed, "wav2lip-96", sha256, "x.pth"),))


def _like(typed: str, sha256: str, *speakers: str) -> TaskSpec:
    return replace(parse_task(f"lip-sync:face=like:{typed}#2"), photos=(Photo(typed, sha256),), speakers=speakers)


def test_weights_of_another_name_and_equal_content_have_the_same_key() -> None:
    assert digest_of(_with_model("./x.pth", "aa")) == digest_of(_with_model("/models/y.pth", "aa"))
    assert digest_of(_with_model("./x.pth", "aa")) != digest_of(_with_model("./x.pth", "bb"))


def test_a_photo_counts_by_its_content_and_its_face() -> None:
    assert digest_of(_like("bob.jpg", "aa")) == digest_of(_like("s3://b/else.jpg", "aa"))
    assert digest_of(_like("bob.jpg", "aa")) != digest_of(_like("bob.jpg", "bb"))
    other = replace(parse_task("lip-sync:face=like:bob.jpg#3"), photos=(Photo("bob.jpg", "aa"),))
    assert digest_of(_like("bob.jpg", "aa")) != digest_of(other)


@pytest.mark.parametrize("speakers", [("track:2",), ("track:2", "left"), ("left", "track:2")])
def test_who_has_a_voice_counts_and_so_does_the_order(speakers: tuple[str, ...]) -> None:
    others = {("track:2",), ("track:2", "left"), ("left", "track:2"), ()} - {speakers}
    assert all(digest_of(_like("bob.jpg", "aa", *speakers)) != digest_of(_like("bob.jpg", "aa", *o)) for o in others)


def test_the_photo_of_a_speaker_counts_by_its_content() -> None:
    one = _like("bob.jpg", "aa", "like:bob.jpg")
    other = _like("/x/bob.jpg", "aa", "like:/x/bob.jpg")
    assert digest_of(one) == digest_of(other)
