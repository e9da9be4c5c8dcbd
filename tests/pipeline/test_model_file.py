"""Models of a user's own: a TOML file becomes values, and what is wrong in it is said with its place."""

from pathlib import Path

import pytest

from pipeline.model_file import catalogue, named, read_models
from pipeline.model_table import MODELS
from tasks.errors import JobError

SHA = "ab" * 32
GOOD = f"""
[models.mine]
task = "lip sync"
architecture = "wav2lip-96"
file = "mine.safetensors"
sha256 = "{SHA}"
licence = "ours"
urls = ["weights/mine.safetensors", "s3://bucket/mine.safetensors", "/abs/mine.safetensors"]
forbids = ["commercial use"]
size_bytes = 12
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "models.toml"
    path.write_text(text)
    return path


def test_a_file_is_read_and_its_relative_paths_are_beside_it(tmp_path: Path) -> None:
    (model,) = read_models(write(tmp_path, GOOD))
    assert (model.name, model.size_bytes, model.precisions) == ("mine", 12, ("fp32",))
    assert model.urls == (
        str(tmp_path / "weights/mine.safetensors"),
        "s3://bucket/mine.safetensors",
        "/abs/mine.safetensors",
    )
    assert model.terms == "mine: its licence (ours) forbids commercial use"
    known = catalogue(MODELS, [model])
    assert named(known, "mine") is model
    assert list(known) == [*(m.name for m in MODELS), "mine"]


@pytest.mark.parametrize(
    ("wrong", "right", "said"),
    [
        ("models.mine", "modells.mine", r"found modells; expected tables named \[models.NAME\] alone"),
        ('licence = "ours"', 'license = "ours"', r"\[models.mine\]: 'license' is no field: did you mean 'licence'\?"),
        ('licence = "ours"', "", r"\[models.mine\]: licence missing; a model needs it"),
        ("size_bytes = 12", 'size_bytes = "12"', r"size_bytes is '12', expected a whole number"),
        ("size_bytes = 12", "size_bytes = 0", r"found size_bytes 0, expected a count above 0"),
        ('forbids = ["commercial use"]', 'forbids = "all"', r"forbids is 'all', expected a list of texts"),
        ('file = "mine.safetensors"', 'file = "../mine.pth"', r"found file '../mine.pth', expected a bare name ending"),
        ('file = "mine.safetensors"', 'file = "mine.bin"', r"found file 'mine.bin', expected a bare name ending"),
        (SHA, SHA.upper(), r"expected 64 small hexadecimal digits, as `sha256sum` prints"),
        ("[models.mine]", "[models.Mine]", r"model 'Mine': expected a name of small letters"),
        ("[models.mine]", "[models", r"is no TOML: "),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, wrong: str, right: str, said: str) -> None:
    assert wrong in GOOD
    path = write(tmp_path, GOOD.replace(wrong, right))
    with pytest.raises(JobError, match=said) as told:
        read_models(path)
    assert str(told.value).startswith(str(path))


def test_a_file_that_is_not_there_is_a_bad_request(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="cannot be read: No such file"):
        read_models(tmp_path / "none.toml")


def test_a_name_is_taken_once() -> None:
    with pytest.raises(JobError, match="model 's3fd' is there already; give yours another name"):
        catalogue(MODELS, [m for m in MODELS if m.name == "s3fd"])


def test_a_name_nearly_right_is_told_the_right_one() -> None:
    with pytest.raises(JobError, match="there is no model 'wav2lip-gn': did you mean 'wav2lip-gan'"):
        named(catalogue(MODELS, []), "wav2lip-gn")
