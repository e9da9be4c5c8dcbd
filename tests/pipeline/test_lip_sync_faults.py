"""What makes other lip-sync tools fail: odd rates, uneven times, turned phones, stills, faces that come late, silence.

Each source is the portrait for some frames, named after what is odd about it; both backends keep every frame
and its time, and draw wherever there is a face.
"""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from pipeline.job import EncodeRequest, RenderJob
from pipeline.render import render_in_process
from tasks.table import parse_task

DEMO = Path(__file__).parents[2] / "tasks" / "data" / "demo"
FRAMES = 10
Picture = np.ndarray


def _portrait(number: int) -> Picture:
    picture = cv2.imread(str(DEMO / "portrait.jpg"))
    return np.roll(picture, number, axis=1)


def _faceless_at_first(number: int) -> Picture:
    return _portrait(number) if number >= 3 else np.full((512, 512, 3), 90, np.uint8)


def write_portrait(
    path: Path,
    rate: Fraction = Fraction(25),
    *,
    picture: Callable[[int], Picture] = _portrait,
    frames: int = FRAMES,
    degrees: int = 0,
    steps: tuple[int, ...] = (1,),
) -> None:
    """A film at `rate`; `steps` are the ticks from each frame to the next, over and over."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=rate, options={"preset": "ultrafast", "crf": "16"})
        stream.width, stream.height, stream.pix_fmt = 512, 512, "yuv420p"
        stream.codec_context.time_base = 1 / rate
        if degrees:
            stream.set_display_rotation(degrees)
        at = 0
        for number in range(frames):
            shown = picture(number)
            shown = np.ascontiguousarray(np.rot90(shown, -degrees // 90)) if degrees else shown
            frame = av.VideoFrame.from_ndarray(shown, "bgr24")
            frame.pts, frame.time_base = at, 1 / rate
            at += steps[number % len(steps)]
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def _on_its_side(number: int) -> Picture:
    """Tilted by 45 degrees, as somebody who lies on a sofa."""
    turn = cv2.getRotationMatrix2D((224, 120), 45, 1.0)
    turn[:, 2] += (32 + number, 130)
    picture = cv2.imread(str(DEMO / "portrait.jpg"))
    return np.asarray(cv2.warpAffine(picture, turn, (512, 512), borderMode=cv2.BORDER_REPLICATE), np.uint8)


KINDS: dict[str, Callable[[Path], None]] = {
    "23.976": lambda path: write_portrait(path, Fraction(24000, 1001)),
    "29.97": lambda path: write_portrait(path, Fraction(30000, 1001)),
    "59.94": lambda path: write_portrait(path, Fraction(60000, 1001)),
    "uneven times": lambda path: write_portrait(path, Fraction(50), steps=(1, 3, 2)),
    "turned phone": lambda path: write_portrait(path, degrees=90),
    "single frame": lambda path: write_portrait(path, frames=1),
    "no face at first": lambda path: write_portrait(path, picture=_faceless_at_first),
}


def _shown(path: Path) -> tuple[list[Fraction], np.ndarray]:
    """When each frame is shown, and its luma as stored."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        base = container.streams.video[0].time_base
        assert base is not None
        return [frame.pts * base for frame in frames], np.stack(
            [frame.to_ndarray()[: frame.height] for frame in frames]
        )


def _rendered(
    source: Path, task: str, voice: Path = DEMO / "voice.wav", *, overwrite: bool = False
) -> tuple[dict[str, object], Path]:
    output = source.with_name("out.mp4")
    lossless = EncodeRequest(qp=0, preset="ultrafast")
    job = RenderJob(
        str(source), str(output), (parse_task(task),), str(voice), "video", encode=lossless, overwrite=overwrite
    )
    return dict(render_in_process(job).tasks[0]), output


@pytest.mark.parametrize("kind", KINDS)
def test_every_frame_is_there_at_its_time_and_speaks_where_a_face_is(kind: str, task: str, tmp_path: Path) -> None:
    source = tmp_path / "source.mp4"
    KINDS[kind](source)
    told, output = _rendered(source, task)
    (times, before), (drawn_times, after) = _shown(source), _shown(output)
    assert len(drawn_times) == len(times)
    assert all(abs(a - b) < Fraction(1, 5000) for a, b in zip(times, drawn_times, strict=True))
    kept = 3 if kind == "no face at first" else 0
    assert told["kept"] == ({"no face": kept} if kept else {})
    changed = (before != after).any(axis=(1, 2))
    assert not changed[:kept].any()
    assert told["faces drawn"] == 1
    if "model=" in task:
        assert changed[kept:].all(), "a generator draws every mouth, moving or not"


def test_digital_silence_is_drawn_and_counted(task: str, tmp_path: Path) -> None:
    voice = tmp_path / "silence.wav"
    with av.open(str(voice), "w") as output:
        stream = output.add_stream("pcm_s16le", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16_000), np.int16), format="s16", layout="mono")
        frame.sample_rate = 16_000
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    write_portrait(tmp_path / "source.mp4")
    told, output_path = _rendered(tmp_path / "source.mp4", task, voice)
    assert told["kept"] == {}
    assert len(_shown(output_path)[0]) == FRAMES
    if "model=" in task:
        assert told["frames drawn in silence"] == FRAMES


def test_a_head_on_its_side_speaks_with_a_detector_that_sees_it(test_data: Path, tmp_path: Path, task: str) -> None:
    source, joined = tmp_path / "source.mp4", "," if ":" in task else ":"
    write_portrait(source, picture=_on_its_side, frames=4)
    told, _ = _rendered(source, task)
    assert told["kept"] == {"no face": 4}, "cascades see no tilted face"
    detector = test_data / "weights" / "yunet_n_640_640.onnx"
    told, output = _rendered(source, f"{task}{joined}detector={detector}", overwrite=True)
    assert told["kept"] == {}
    changed = (_shown(source)[1] != _shown(output)[1]).any(axis=(1, 2))
    assert changed[1:].all()
