"""torch.compile, one program a shape, its code kept so that another process need not make it again.

torch's own artifacts (`torch.compiler.save_cache_artifacts`) leave out what a C++ compiler made for processors, which
takes longest; so all files that a first call makes in the compiler's folder are kept together.
"""

import logging
import tarfile
import threading
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from tasks.runtime.built import Built, Recipe, packed, unpack

log = logging.getLogger("reelyard")

#: Held while anything is compiled in this process: what is new in the folder is then of one network and shape.
_ALONE: Final = threading.Lock()
_OWN: Final = frozenset({"locks"})
"Folders of the compiler whose content is of no use to others."


class Compiled:
    """The calls of one network; the first of each shape is alone, as the compiler wants it."""

    def __init__(self, network: nn.Module, recipe: Recipe, built: Built) -> None:
        self._compiled = torch.compile(network, dynamic=False)
        self._recipe = recipe
        self._built = built
        self._known: set[tuple[tuple[int, ...], ...]] = set()

    def __call__(self, *given: Tensor) -> Tensor:
        shapes = tuple(tuple(x.shape) for x in given)
        if shapes in self._known:
            return self._compiled(*given)  # type: ignore[no-any-return]
        with _ALONE:
            if shapes not in self._known:
                self._first(self._recipe.key(shapes), given)
                self._known.add(shapes)
        return self._compiled(*given)  # type: ignore[no-any-return]

    def _first(self, key: str, given: tuple[Tensor, ...]) -> None:
        folder = _folder()
        fetched = _put(self._built.find(key), folder)
        before = _files(folder)
        self._compiled(*given)
        made = _files(folder) - before
        if made and not fetched:
            self._built.keep(key, packed(folder, made))


def _folder() -> Path:
    """The compiler's own, by whatever it was told."""
    from torch._inductor.runtime.cache_dir_utils import cache_dir

    return Path(cache_dir())


def _put(content: bytes | None, folder: Path) -> bool:
    """Whether kept files lie in the folder now."""
    if content is None:
        return False
    try:
        unpack(content, folder)
    except (OSError, tarfile.TarError) as error:
        log.warning("compiled code that was kept cannot be used, it is compiled again: %s", error)
        return False
    return True


def _files(folder: Path) -> set[Path]:
    """All that is whole in it."""
    found = folder.rglob("*") if folder.is_dir() else ()
    return {path for path in found if path.is_file() and not _OWN & set(path.relative_to(folder).parts)}
