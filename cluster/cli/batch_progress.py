"""The progress of a batch on stderr: a table on a terminal, a plain line every few seconds elsewhere."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cluster.cli.batch_lines import counted, lines_of, open_phases, summary_of
from cluster.cli.console import say, seconds
from cluster.events import Event, Listener, VideoChanged
from cluster.report.state import RunState
from cluster.report.timeline import natural

if TYPE_CHECKING:
    from rich.table import Table

#: Between two plain lines; between two pictures of the table.
_LINE_SECONDS, _DRAW_SECONDS = 5.0, 0.5
_CELL_ROWS = 16
#: Time left as somebody knows it who plans the work; None where unknown.
Remaining = Callable[[], float | None]


@contextmanager
def shown_batch(quiet: bool, remaining: Remaining | None = None) -> Iterator[Listener]:
    """A listener that shows what goes on, for the time of the block; without `remaining` the speed tells the rest."""
    if quiet:
        yield lambda event: None
        return
    shown = LiveTable(remaining) if sys.stderr.isatty() else BatchLines(remaining)
    with shown.ticking():
        yield shown


class _Shown:
    """A state of its own, and a thread that shows it now and then; called from any thread."""

    def __init__(self, remaining: Remaining | None, period_seconds: float, clock: Callable[[], float]) -> None:
        self.state = RunState()
        self._remaining = remaining
        self._period_seconds = period_seconds
        self._clock = clock
        self._latest = clock()
        self._lock = threading.Lock()
        self._over = threading.Event()

    def __call__(self, event: Event) -> None:
        with self._lock:
            self.state.take(event)
            self._latest = self._clock()
        self.tell(event)

    def tell(self, event: Event) -> None:
        """Say at once what is to be said of one event."""

    def show(self) -> None:
        """Show the state as it is."""

    @property
    def now(self) -> float:
        """On the clock of the run: its latest event, and what passed since."""
        return self.state.now + self._clock() - self._latest

    def left(self) -> float | None:
        """Seconds to the end of the run."""
        if self._remaining is not None:
            return self._remaining()
        with self._lock:
            return self.state.remaining_seconds(self.now)

    @contextmanager
    def ticking(self) -> Iterator[None]:
        """Shown every period for the time of the block."""
        ticker = threading.Thread(target=self._tick, name="progress", daemon=True)
        ticker.start()
        try:
            yield
        finally:
            self._over.set()
            ticker.join()

    def _tick(self) -> None:
        while not self._over.wait(self._period_seconds):
            self.show()


class BatchLines(_Shown):
    """Plain lines: what happened to a video or a cell at once, a summary every five seconds."""

    def __init__(
        self,
        remaining: Remaining | None = None,
        say: Callable[[str], None] = say,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(remaining, _LINE_SECONDS, clock)
        self._say = say
        self._said = ""

    def tell(self, event: Event) -> None:
        for line in lines_of(event, self.state):
            self._say(line)

    def show(self) -> None:
        left = self.left()
        with self._lock:
            line = summary_of(self.state, self.now, left) if self.state.began else ""
        if line and line != self._said:
            self._say(line)
        self._said = line


class LiveTable(_Shown):
    """A table that is drawn in place; failures and choices stand above it."""

    def __init__(self, remaining: Remaining | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        from rich.console import Console
        from rich.live import Live

        super().__init__(remaining, _DRAW_SECONDS, clock)
        self._console = Console(stderr=True)
        self._live = Live(console=self._console, auto_refresh=False, transient=True, get_renderable=self.picture)

    @contextmanager
    def ticking(self) -> Iterator[None]:
        with self._live, super().ticking():
            yield

    def show(self) -> None:
        self._live.refresh()

    def tell(self, event: Event) -> None:
        if isinstance(event, VideoChanged) and event.phase in ("rendered", "already done", "duplicate"):
            return
        for line in lines_of(event, self.state):
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def picture(self) -> Any:
        """The table as of now, for rich."""
        from rich.console import Group

        left = self.left()
        with self._lock:
            return Group(_headline(self.state, self.now, left), _cells(self.state))


def _headline(state: RunState, now: float, left: float | None) -> "Table":
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    videos = state.videos
    table = Table.grid(padding=(0, 2))
    table.add_row(
        f"{videos.finished} of {counted(videos.total, 'video')}",
        ProgressBar(total=max(1, videos.total), completed=videos.finished, width=30),
        f"{state.recent_rate('render', now):.1f} frames/s",
        f"{state.cells.busy_share:.0%} at work".replace("%", " %"),
        "" if left is None or videos.finished == videos.total else f"{seconds(left)} left",
        f"[red]{videos.unsuccessful} failed[/red]" if videos.unsuccessful else "",
    )
    phases = Table.grid()
    phases.add_row(table)
    phases.add_row(", ".join(f"{count} {phase}" for phase, count in open_phases(state).items()))
    return phases


def _cells(state: RunState) -> "Table":
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("cell", "kind", "", "slots", "frames", "video"):
        table.add_column(name, justify="right" if name in ("slots", "frames") else "left", no_wrap=True)
    cells = sorted((cell for cell in state.cells.by_name.values() if cell.up), key=lambda cell: natural(cell.name))
    if len(cells) > _CELL_ROWS:
        # Those that go or stand free are what a person looks for.
        cells.sort(key=lambda cell: ("draining", "free", "working").index(cell.status))
    for cell in cells[:_CELL_ROWS]:
        video = cell.video if cell.busy_slots else ""
        used = f"{len(cell.busy_slots)}/{cell.slots}"
        table.add_row(escape(cell.name), cell.kind, cell.status, used, str(cell.frames), escape(video))
    if len(cells) > _CELL_ROWS:
        table.add_row(f"and {len(cells) - _CELL_ROWS} more", "", "", "", "", "")
    return table
