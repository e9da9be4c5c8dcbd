"""One local Ray for all cluster tests, a numbered source, and leases over it."""

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import av
import numpy as np
import pytest

from cluster.address import Place
from cluster.connection import Connection, connected
from cluster.dispatch.dispatcher import Dispatcher
from cluster.dispatch.journal import Journal
from cluster.dispatch.video_pool import VideoPool
from cluster.fleet import progress
from cluster.fleet.ray_fleet import RayFleet
from cluster.scheduling.scheduler import Scheduler
from cluster.scheduling.values import Video
from cluster.transport import Worker
from pipeline.index import SourceIndex
from pipeline.storage import Storage

#: Frames of the source, its keyframes, its size.
FRAMES, GOP, WIDTH, HEIGHT = 100, 10, 320, 180
#: Functions that tests have workers call.
FAR = str(Path(__file__).parent / "far")


def write_numbered(path: Path, frames: int = FRAMES, gop: int = GOP) -> Path:
    """A video whose frame n has n as bits in the top row of its luma, and something that moves."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": str(gop), "bf": "0", "preset": "ultrafast"})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.thread_count = 1
        rows = np.arange(HEIGHT * 3 // 2)[:, None]
        for number in range(frames):
            planes = ((rows + np.arange(WIDTH)[None] + 3 * number) % 200 + 20).astype(np.uint8)
            for bit in range(16):
                planes[:16, bit * 16 : bit * 16 + 16] = 235 if number >> bit & 1 else 16
            frame = av.VideoFrame.from_ndarray(planes, "yuv420p")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def numbers_of(path: Path | str) -> list[int]:
    """The numbers that the frames of a video bear, in order."""
    with av.open(str(path)) as container:
        return [_number(frame.to_ndarray(format="gray")) for frame in container.decode(video=0)]


def _number(luma: np.ndarray) -> int:
    return sum(1 << bit for bit in range(16) if luma[8, bit * 16 + 8] > 128)


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_numbered(tmp_path_factory.mktemp("source") / "numbered.mp4")


@pytest.fixture(scope="session")
def index(source: Path) -> SourceIndex:
    from pipeline.probe import probe

    return probe(Storage(), str(source), cache_prefix=None)


@pytest.fixture(scope="session", autouse=True)
def _progress_at_once() -> Iterator[None]:
    """Fleets of long runs ask for frames seldom; tests that wait for some of them ask as in a run's first seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress, "_ASK_SHARE", 0.0)
        yield


@pytest.fixture(scope="session")
def connection() -> Iterator[Connection]:
    """The Ray of this test session, started as a user's run starts it; its workers find the functions of far/."""
    before = os.environ.get("PYTHONPATH")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", FAR if before is None else f"{FAR}{os.pathsep}{before}")
        patch.syspath_prepend(FAR)
        yield from _connected()


def _connected() -> Iterator[Connection]:
    with connected(Place("local", "", "tests"), local_cpus=8) as found:
        yield found


class CellPool(VideoPool):
    """The pool of one video over cells that the tests of a module share."""

    def __init__(self, fleet: RayFleet, dispatcher: Dispatcher, progress: Callable[[str, int], None]) -> None:
        self.fleet = fleet
        super().__init__(dispatcher, fleet, Journal(), Video(f"video {next(_NUMBERS)}"), progress)

    @property
    def workers(self) -> list[Worker]:
        return [worker for cell in self.fleet._census.cells.values() for worker in cell.workers]


_NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def cells(connection: Connection) -> Iterator[tuple[RayFleet, Dispatcher]]:
    """Cells that can draw, and what hands them units."""
    fleet = RayFleet(connection, {}, device="cpu", altering=True)
    dispatcher = Dispatcher(fleet, Scheduler(), Journal())
    yield fleet, dispatcher
    dispatcher.close()
    fleet.close()


@pytest.fixture
def ray_pool(cells: tuple[RayFleet, Dispatcher]) -> Iterator[Callable[..., CellPool]]:
    """Makes pools that are closed when the test ends."""
    made: list[CellPool] = []

    def make(progress: Callable[[str, int], None] = lambda stage, frames: None) -> CellPool:
        made.append(CellPool(*cells, progress))
        return made[-1]

    yield make
    for pool in made:
        pool.close()


@pytest.fixture
def plan_leases(index: SourceIndex, tmp_path: Path) -> Callable[..., Sequence[object]]:
    """Leases over the source, losslessly encoded into a folder of their own."""
    return lambda name, cuts, specs=(), batch_frames=4, damaged="fail": leases_over(
        index, tmp_path / name, cuts, specs, batch_frames, damaged
    )


def leases_over(
    index: SourceIndex,
    folder: Path,
    cuts: Sequence[int],
    specs: Sequence[object],
    batch_frames: int,
    damaged: str,
) -> Sequence[object]:
    from pipeline.encoders import choose_encoding
    from pipeline.job import EncodeRequest, RenderJob
    from pipeline.segments import Segment
    from pipeline.timeline import plan_timeline
    from pipeline.work import Lease, SegmentWork
    from tasks.task import TaskInputs

    folder.mkdir(parents=True, exist_ok=True)
    timeline = plan_timeline(index, RenderJob(index.uri, "out.mkv"), None)
    encode = choose_encoding(index.format, timeline, EncodeRequest("ffv1"), "mkv")
    made = []
    for number, (a, b) in enumerate(itertools.pairwise(cuts)):
        end = int(timeline.pts[b]) if b < len(timeline) else timeline.end_pts
        inputs = tuple(TaskInputs(a, b, {}, {}) for _ in specs)
        work = SegmentWork(
            Segment(number, a, b), timeline.source_frames[a:b], timeline.pts[a:b], end, inputs, encode,
            f"{number:04d}" * 10, str(folder / f"{number}.nut"),
        )  # fmt: skip
        made.append(Lease((work,), batch_frames, damaged))
    return made
