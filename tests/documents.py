"""The parts of README.md that are made from the code: the file tree, one line a file."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PACKAGES = ("tasks", "pipeline", "cluster")


def first_sentence(path: Path) -> str:
    """The first sentence of a module's docstring, without its full stop."""
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    return re.split(r"(?<=[^.])\.(?:\s|$)|;|\n\n", text.replace("\n", " "), maxsplit=1)[0].strip()


def file_tree() -> str:
    """Every Python file of the three packages with its first sentence."""
    lines = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if path.name == "__init__.py" and path.parent.name != package:
                continue
            name = path.relative_to(ROOT).as_posix()
            shown = f"{package}/" if path.name == "__init__.py" else f"  {name.removeprefix(f'{package}/')}"
            lines.append(f"{shown:<34} {first_sentence(path)}")
    return "```\n" + "\n".join(lines) + "\n```"


def with_block(text: str, name: str, block: str) -> str:
    """`text` with what stands between the markers of `name` replaced."""
    pattern = re.compile(rf"(<!-- {name}:start -->\n).*?(<!-- {name}:end -->)", re.DOTALL)
    assert pattern.search(text), f"README.md has no markers {name}"
    return pattern.sub(lambda found: f"{found.group(1)}{block}\n{found.group(2)}", text)


if __name__ == "__main__":
    README.write_text(with_block(README.read_text(), "tree", file_tree()))
