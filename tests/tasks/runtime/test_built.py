"""Archives of what was built: whole, inside their folder, and never over what a process has open."""

import io
import tarfile
from pathlib import Path

import pytest

from tasks.runtime.built import opened, packed, seal_of, unpack


def test_a_folder_comes_out_as_it_went_in(tmp_path: Path) -> None:
    made = tmp_path / "made"
    (made / "ab").mkdir(parents=True)
    (made / "ab" / "one.so").write_bytes(b"one")
    (made / "two.py").write_bytes(b"two")
    unpack(packed(made, [made / "ab" / "one.so", made / "two.py"]), tmp_path / "other")
    assert (tmp_path / "other" / "ab" / "one.so").read_bytes() == b"one"
    assert sorted(p.name for p in (tmp_path / "other").rglob("*")) == ["ab", "one.so", "two.py"]


def test_a_library_that_is_there_stays_the_file_that_it_is(tmp_path: Path) -> None:
    for folder, content in (("made", b"from elsewhere"), ("here", b"open in this process")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "one.so").write_bytes(content)
    number = (tmp_path / "here" / "one.so").stat().st_ino
    unpack(packed(tmp_path / "made", [tmp_path / "made" / "one.so"]), tmp_path / "here")
    assert (tmp_path / "here" / "one.so").read_bytes() == b"open in this process"
    assert (tmp_path / "here" / "one.so").stat().st_ino == number


def test_nothing_is_written_outside_the_folder(tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("../outside"), io.BytesIO(b""))
    with pytest.raises(tarfile.TarError):
        unpack(out.getvalue(), tmp_path / "here")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_seal_tells_what_is_whole() -> None:
    kept = seal_of("graph-1", b"content") + b"content"
    assert opened("graph-1", io.BytesIO(kept)) == (b"content", "")
    assert opened("graph-2", io.BytesIO(kept))[0] is None
    for cut in range(len(kept)):
        assert opened("graph-1", io.BytesIO(kept[:cut]))[0] is None
