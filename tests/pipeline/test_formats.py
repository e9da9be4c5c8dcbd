"""Every pixel format moves as planes, exactly where its samples allow it, else by a stated rule."""

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageOps

from pipeline.decode import decode_source_frames
from pipeline.formats import conversion_of, matrix_of, orientation_of
from pipeline.index import SourceIndex
from pipeline.planes import PlaneWriter, new_planes
from pipeline.probe import probe
from pipeline.storage import Storage
from tasks.picture import Colour, FrameBatch, Orientation, PictureFormat

_STORAGE = Storage()
_HEIGHT, _WIDTH = 50, 70


def _noise(seed: int, shape: tuple[int, ...], depth: int) -> "np.ndarray":
    values = np.random.default_rng(seed).integers(0, 1 << depth, shape)
    return values.astype(np.uint8 if depth == 8 else np.uint16)


def _frame(pixel_format: str, planes: "list[np.ndarray]") -> "av.VideoFrame":
    frame = av.VideoFrame(_WIDTH, _HEIGHT, pixel_format)
    for plane, samples in zip(frame.planes, planes, strict=True):
        rows = np.frombuffer(plane, samples.dtype).reshape(-1, plane.line_size // samples.dtype.itemsize)
        rows[: samples.shape[0], : samples.shape[1]] = samples
    return frame


def _written(path: Path, codec: str, frame: "av.VideoFrame") -> SourceIndex:
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = _WIDTH, _HEIGHT, frame.format.name
        for number in range(2):
            frame.pts = number
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return probe(_STORAGE, str(path))


def _first(index: SourceIndex) -> FrameBatch:
    return next(decode_source_frames(_STORAGE, index, 0, 1, 1))


def _shape(size: "tuple[int, int]") -> "tuple[int, int]":
    return -(-_HEIGHT // size[1]), -(-_WIDTH // size[0])


_SIZES = {"420": (2, 2), "422": (2, 1), "444": (1, 1), "440": (1, 2)}
_DEPTHS = {
    "420": (8, 9, 10, 12, 14, 16),
    "422": (8, 9, 10, 12, 14, 16),
    "444": (8, 9, 10, 12, 14, 16),
    "440": (8, 10, 12),
}
_PLANAR = [(s, d, False) for s, depths in _DEPTHS.items() for d in depths] + [
    (s, d, True) for s in ("420", "422", "444") for d in (8, 9, 10, 16)
]


@pytest.mark.parametrize(("subsampling", "depth", "alpha"), _PLANAR)
def test_planar_samples_move_bit_for_bit(subsampling: str, depth: int, alpha: bool, tmp_path: Path) -> None:
    name = f"yuv{'a' if alpha else ''}{subsampling}p" + ("" if depth == 8 else f"{depth}le")
    size = _SIZES[subsampling]
    planes = [_noise(i, (_HEIGHT, _WIDTH) if i in (0, 3) else _shape(size), depth) for i in range(3 + alpha)]
    index = _written(tmp_path / "video.mkv", "ffv1", _frame(name, planes))
    batch = _first(index)
    assert index.format.layout.name == name.replace("yuva", "yuv") and index.format.layout.depth == depth
    assert index.decoded_pixel_format == name and bool(index.conversion) == alpha
    assert index.dropped == (("alpha (transparency)",) if alpha else ())
    for found, written in zip(batch.planes, planes, strict=False):
        assert np.array_equal(found[0], written)


@pytest.mark.parametrize("depth", [8, 10, 12, 16])
def test_grey_moves_with_neutral_chroma(depth: int, tmp_path: Path) -> None:
    name = "gray" if depth == 8 else f"gray{depth}le"
    luma = _noise(1, (_HEIGHT, _WIDTH), depth)
    index = _written(tmp_path / "video.mkv", "ffv1", _frame(name, [luma]))
    batch = _first(index)
    assert index.format.layout.name == ("yuv420p" if depth == 8 else f"yuv420p{depth}le")
    assert "neutral chroma" in index.conversion
    assert np.array_equal(batch.planes[0][0], luma)
    assert np.all(batch.planes[1] == 1 << depth - 1) and np.all(batch.planes[2] == 1 << depth - 1)


@pytest.mark.parametrize(
    ("name", "planar"),
    [("nv12", "yuv420p"), ("yuyv422", "yuv422p"), ("uyvy422", "yuv422p"), ("yuv411p", "yuv422p")],
)
def test_semi_planar_and_packed_become_planar(name: str, planar: str, tmp_path: Path) -> None:
    chroma = (2, 1) if "422" in planar else (2, 2)
    planes = [_noise(i, (_HEIGHT, _WIDTH) if i == 0 else _shape(chroma), 8) for i in range(3)]
    if name == "yuv411p":
        planes[1:] = [np.repeat(_noise(i, (_HEIGHT, 18), 8), 2, axis=1)[:, :35] for i in (1, 2)]
    frame = _frame(planar, planes).reformat(format=name, threads=1)
    index = _written(tmp_path / "video.nut", "rawvideo", frame)
    batch = _first(index)
    assert index.format.layout.name == planar and index.decoded_pixel_format == name
    assert np.array_equal(batch.planes[0][0], planes[0])
    if name != "yuv411p":
        assert np.array_equal(batch.planes[1][0], planes[1]) and np.array_equal(batch.planes[2][0], planes[2])


def test_ten_bits_of_a_hardware_decoder_become_planar() -> None:
    planes = [_noise(i, (_HEIGHT, _WIDTH) if i == 0 else _shape((2, 2)), 10) for i in range(3)]
    format = PictureFormat(conversion_of("p010le", flat=False).layout, _WIDTH, _HEIGHT, Colour(1, 1, 1, False))
    assert format.layout.name == "yuv420p10le"
    found = new_planes(format, 1)
    PlaneWriter(format, flat=False).write(_frame("yuv420p10le", planes).reformat(format="p010le", threads=1), found, 0)
    assert all(np.array_equal(a[0], b) for a, b in zip(found, planes, strict=True))


@pytest.mark.parametrize(
    ("name", "depth", "planar"),
    [
        ("bgr0", 8, "yuv444p"),
        ("gbrp10le", 10, "yuv444p10le"),
        ("gbrp12le", 12, "yuv444p12le"),
        ("rgb24", 8, "yuv444p"),
    ],
)
def test_rgb_video_becomes_444_of_the_same_depth_by_the_tagged_matrix(
    name: str, depth: int, planar: str, tmp_path: Path
) -> None:
    top = (1 << depth) - 1
    red, green, blue = 0.8, 0.3, 0.1
    if name.startswith("gbrp"):
        planes = [np.full((_HEIGHT, _WIDTH), round(v * top), np.uint16) for v in (green, blue, red)]
        frame = _frame(name, planes)
    else:
        order = (blue, green, red, 0) if name == "bgr0" else (red, green, blue)
        pixel = np.array([round(v * top) for v in order], np.uint8)
        frame = _frame(name, [np.tile(pixel, (_HEIGHT, _WIDTH))])
    codec, ending = ("rawvideo", "nut") if name == "rgb24" else ("ffv1", "mkv")
    index = _written(tmp_path / f"video.{ending}", codec, frame)
    assert index.format.layout.name == planar and index.format.colour.matrix == 6 and index.format.colour.guessed
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    expected = (
        16 + 219 * luma,
        128 + 224 * (blue - luma) / 1.772,
        128 + 224 * (red - luma) / 1.402,
    )
    for plane, value in zip(_first(index).planes, expected, strict=True):
        assert abs(float(plane.mean()) / (1 << depth - 8) - value) <= 0.75


def _picture(path: Path, **values: object) -> Path:
    y, x = np.mgrid[0:_HEIGHT, 0:_WIDTH]
    pixels = np.stack([x * 3, y * 4, (x + y) * 2], axis=-1).clip(0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(path, **values)
    return path


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp", "tiff", "webp", "gif"])
def test_still_pictures_move_as_420_of_8_bits(ending: str, tmp_path: Path) -> None:
    index = probe(_STORAGE, str(_picture(tmp_path / f"picture.{ending}")))
    batch = _first(index)
    assert index.still and index.frames == 1 and index.mode == "random" and index.dropped == ()
    assert index.format.layout.name == "yuv420p" and not index.format.colour.full_range
    pixels = np.asarray(Image.open(tmp_path / f"picture.{ending}").convert("RGB"), np.float64)
    luma = 16 + 219 / 255 * pixels @ np.array([0.299, 0.587, 0.114])
    assert np.abs(batch.planes[0][0] - luma).mean() < 1.5


def test_a_video_of_one_frame_is_no_still(tmp_path: Path) -> None:
    frame = _frame("yuv420p", [_noise(i, s, 8) for i, s in enumerate([(50, 70), (25, 35), (25, 35)])])
    with av.open(str(tmp_path / "one.mp4"), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height = _WIDTH, _HEIGHT
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    index = probe(_STORAGE, str(tmp_path / "one.mp4"))
    assert not index.still and index.frames == 1 and index.end_pts > int(index.frame_pts[0])


def _upright(picture: "np.ndarray", orientation: Orientation) -> "np.ndarray":
    picture = picture.T if orientation.transpose else picture
    picture = picture[:, ::-1] if orientation.mirror_x else picture
    return picture[::-1] if orientation.mirror_y else picture


@pytest.mark.parametrize("exif", range(1, 9))
@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tiff"])
def test_the_exif_orientation_is_applied(exif: int, ending: str, tmp_path: Path) -> None:
    tags = Image.Exif()
    tags[274] = exif
    path = _picture(tmp_path / f"turned.{ending}", exif=tags)
    index = probe(_STORAGE, str(path))
    orientation = index.format.orientation
    assert orientation is not None and orientation_of(index.display_matrix) == orientation
    shown = _upright(_first(index).planes[0][0], orientation)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(path)).convert("RGB"), np.float64)
    assert shown.shape == expected.shape[:2]
    assert np.abs(shown - (16 + 219 / 255 * expected @ np.array([0.299, 0.587, 0.114]))).mean() < 1.5


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("mirror_x", [False, True])
@pytest.mark.parametrize("mirror_y", [False, True])
def test_a_display_matrix_is_read_as_it_is_written(transpose: bool, mirror_x: bool, mirror_y: bool) -> None:
    orientation = Orientation(transpose, mirror_x, mirror_y)
    assert orientation_of(matrix_of(orientation)) == orientation


def test_an_odd_angle_is_no_orientation() -> None:
    cos, sin = round(65536 * 0.866), round(65536 * 0.5)
    assert orientation_of((cos, sin, 0, -sin, cos, 0, 0, 0, 1 << 30)) is None


def test_palettes_are_flat_pictures_whatever_holds_them() -> None:
    assert conversion_of("pal8", flat=False).layout.name == "yuv420p"
