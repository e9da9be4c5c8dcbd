"""`reelyard models`: what a person reads, what a script reads, and the exit codes."""

import hashlib
import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from cluster.cli import app
from tests.stores import http_server

DATA = b"weights" * 1000


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A catalogue of one model whose licence forbids commercial use, served beside it."""
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "own.safetensors").write_bytes(DATA)
    path = tmp_path / "own.toml"
    path.write_text(
        f'[models.own]\ntask = "lip sync"\narchitecture = "tiny"\nfile = "own.safetensors"\nlicence = "ours"\n'
        f'forbids = ["commercial use"]\nsha256 = "{hashlib.sha256(DATA).hexdigest()}"\n'
        f'urls = ["served/own.safetensors"]\n'
    )
    return path


def models(tmp_path: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["models", words[0], *words[1:], "--cache", str(tmp_path / "cache")])


def test_list_tells_every_model_and_its_terms(tmp_path: Path, own: Path) -> None:
    told = models(tmp_path, "list", "--catalogue", str(own))
    assert told.exit_code == 0
    (line,) = (line for line in told.stdout.splitlines() if line.startswith("wav2lip-gan"))
    assert "435.8 MB" in line and "forbids commercial use" in line
    lines = [line.strip() for line in told.stdout.splitlines()]
    assert lines[lines.index(line) + 1] == "lip-sync:model=wav2lip-gan"
    assert "lip-sync:detector=yunet" in lines and "lip-sync:restore=gfpgan" in lines
    assert "no task uses it yet" in lines, "codeformer, for one"
    document = json.loads(models(tmp_path, "list", "--catalogue", str(own), "--json").stdout)
    assert document[-1]["name"] == "own"
    assert not document[-1]["here"]


def test_fetch_verify_and_path_agree(tmp_path: Path, own: Path) -> None:
    where = tmp_path / "cache" / "own" / "own.safetensors"
    mine = ("--catalogue", str(own))
    assert "nothing lies there yet" in models(tmp_path, "path", "own", *mine).stderr
    fetched = models(tmp_path, "fetch", "own", *mine)
    assert fetched.exit_code == 0, fetched.output
    assert fetched.stdout.strip() == str(where)
    assert "own: 0.0 of 0.0 MB" in fetched.stderr
    assert models(tmp_path, "path", "own", *mine).stdout.strip() == str(where)
    assert models(tmp_path, "verify", *mine).stdout.strip() == "own: verified"
    where.write_bytes(b"!" + DATA[1:])
    broken = models(tmp_path, "verify", "own", "--json", *mine)
    assert broken.exit_code == 1
    (fact,) = json.loads(broken.stdout)
    assert not fact["verified"] and "is not the published file" in fact["fault"]


def test_fetch_can_fill_a_mirror_for_nodes_without_network(tmp_path: Path, own: Path) -> None:
    mirror = tmp_path / "mirror"
    filled = models(tmp_path, "fetch", "own", "--catalogue", str(own), "--models", str(mirror), "--fill")
    assert filled.exit_code == 0, filled.output
    assert (mirror / "own" / "own.safetensors").read_bytes() == DATA
    (tmp_path / "served" / "own.safetensors").unlink()
    other = CliRunner().invoke(
        app,
        ["models", "fetch", "own", "--catalogue", str(own), "--models", str(mirror), "--cache", str(tmp_path / "b")],
    )
    assert other.exit_code == 0, other.output


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("fetch", "wav2lip-gn"), 2, "did you mean 'wav2lip-gan'"),
        (("fetch", "s3fd", "--fill"), 2, "--fill: found no --models URI to fill"),
        (("fetch", "wav2lip"), 1, "no address of the file itself is known"),
        (("verify", "s3fd"), 1, "run `reelyard models fetch s3fd`"),
    ],
)
def test_faults_have_their_words_and_codes(tmp_path: Path, words: tuple[str, ...], code: int, said: str) -> None:
    told = models(tmp_path, *words)
    assert told.exit_code == code
    assert said in told.output


def test_a_served_model_is_fetched_over_http(tmp_path: Path, own: Path) -> None:
    with http_server(tmp_path / "served") as (base, traffic):
        own.write_text(own.read_text().replace("served/own.safetensors", f"{base}/own.safetensors"))
        assert models(tmp_path, "fetch", "own", "--catalogue", str(own), "--json").exit_code == 0
        assert traffic.bytes == len(DATA)
