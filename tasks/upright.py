"""Pictures turned upright for good (`--bake-rotation`): whole planes, no sample changed."""

from dataclasses import replace

from tasks.errors import JobError
from tasks.picture import FrameBatch, Orientation, PictureFormat, Plane


def upright_format(format: PictureFormat) -> PictureFormat:
    """The format of pictures after `upright_batch`.

    Raises:
        JobError: an odd angle, or a quarter turn of unequal chroma subsampling (4:2:2, 4:4:0).
    """
    turn = format.orientation
    layout = format.layout
    if turn is None:
        raise JobError("--bake-rotation: the display matrix turns by an angle that is no multiple of 90 degrees")
    mirrored_width, mirrored_height = _mirrored(turn)
    if (mirrored_width and format.width % (1 << layout.chroma_shift_x)) or (
        mirrored_height and format.height % (1 << layout.chroma_shift_y)
    ):
        raise JobError(
            f"--bake-rotation: {format.width}x{format.height} in {layout.name} cannot be turned without moving its "
            "colour by a line; keep the display matrix (leave the option out)"
        )
    if not turn.transpose:
        return replace(format, orientation=Orientation())
    if layout.chroma_shift_x != layout.chroma_shift_y:
        raise JobError(
            f"--bake-rotation: {layout.name} cannot be turned by 90 degrees without resampling its colour; "
            "keep the display matrix (leave the option out)"
        )
    return replace(
        format,
        width=format.height,
        height=format.width,
        sample_aspect_ratio=1 / format.sample_aspect_ratio,
        orientation=Orientation(),
    )


def upright_batch(batch: FrameBatch) -> FrameBatch:
    """The same pictures upright; the batch itself where they stand upright already."""
    turn = batch.format.orientation
    if turn == Orientation():
        return batch
    format = upright_format(batch.format)
    assert turn is not None
    planes = tuple(_turned(plane, turn) for plane in batch.planes)
    return FrameBatch(format, planes, batch.first_frame, batch.pts, batch.source_frames)


def _turned(plane: Plane, turn: Orientation) -> Plane:
    turned: Plane = plane.transpose(0, 2, 1) if turn.transpose else plane  # (N, H, W) -> (N, W, H)
    if turn.mirror_x:
        turned = turned[:, :, ::-1]
    if turn.mirror_y:
        turned = turned[:, ::-1]
    return turned.copy(order="C")


def _mirrored(turn: Orientation) -> tuple[bool, bool]:
    """Whether the stored width, and the stored height, run the other way afterwards."""
    return (turn.mirror_y, turn.mirror_x) if turn.transpose else (turn.mirror_x, turn.mirror_y)
