"""What the documents say is true of the code: commands parse, files are listed, nothing is left to fill in."""

import re
import shlex

import pytest
import typer
from typer.testing import CliRunner

from cluster.cli import app
from tests.documents import README, ROOT, file_tree, with_block


def commands() -> list[str]:
    text = README.read_text()
    return [
        line.removeprefix("$ ").split("  #")[0].strip()
        for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL)
        for line in block.splitlines()
        if line.startswith("$ ")
    ]


@pytest.mark.parametrize("command", [c for c in commands() if c.startswith("reelyard ")])
def test_every_command_of_the_readme_parses(command: str) -> None:
    words = shlex.split(command)[1:]
    group = typer.main.get_command(app)
    group.commands[words[0]].make_context(words[0], words[1:])  # type: ignore[attr-defined]


def test_every_make_target_of_the_readme_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`make ([a-z-]+)`", README.read_text())) | {
        c.split()[1] for c in commands() if c.startswith("make ")
    }
    assert named
    assert named <= targets


def test_the_file_tree_is_the_code_s() -> None:
    text = README.read_text()
    assert with_block(text, "tree", file_tree()) == text, "run: python -m tests.documents"


def test_every_link_of_the_readme_leads_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README.read_text()) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_help_names_what_is_built_and_nothing_else() -> None:
    shown = CliRunner().invoke(app, ["--help"]).output
    for built in ("render", "batch", "plan", "probe", "report", "doctor", "clean", "submit", "status", "logs", "stop"):
        assert built in shown
    for not_built in ("models", "bench"):
        assert not re.search(rf"\b{not_built}\b", shown)
