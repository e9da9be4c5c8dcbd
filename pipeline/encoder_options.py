"""Each encoder's private options for a request, checked; knows the table of encoders, opens none."""

from collections.abc import Mapping

from pipeline.encoder_table import PRORES_PROFILES, Encoder
from pipeline.job import EncodeRequest
from tasks.errors import JobError
from tasks.picture import PictureFormat, PixelLayout


def encoder_options(
    encoder: Encoder,
    layout: PixelLayout,
    picture: PictureFormat,
    request: EncodeRequest,
    hdr: Mapping[str, str],
) -> dict[str, str]:
    preset = _checked_preset(encoder, request)
    crf, qp = _checked_quality(encoder, request)
    make = {
        "libx264": _x264,
        "libx265": _x265,
        "libsvtav1": _svtav1,
        "libvpx-vp9": _vp9,
        "ffv1": _ffv1,
    }.get(encoder.name, _nvenc)
    if encoder.name == "prores_ks":
        return _prores(layout, preset, picture.field_order)
    options = make(preset, crf, qp, picture)
    for key, value in hdr.items():
        options[key] = f"{options[key]}:{value}" if key in options else value
    return options


def _checked_preset(encoder: Encoder, request: EncodeRequest) -> str:
    if request.preset is None:
        return encoder.preset
    if request.preset not in encoder.presets:
        allowed = ", ".join(encoder.presets) or "no preset"
        raise JobError(f"--preset {request.preset}: {encoder.name} takes {allowed}")
    return request.preset


def _checked_quality(encoder: Encoder, request: EncodeRequest) -> tuple[float | None, int | None]:
    """CRF or QP, one of them None."""
    if request.crf is not None and request.qp is not None:
        raise JobError(f"--crf {request.crf:g} and --qp {request.qp}: give one of them")
    if request.qp is not None:
        if encoder.qp is None or not encoder.qp[0] <= request.qp <= encoder.qp[1]:
            allowed = f"{encoder.qp[0]} to {encoder.qp[1]}" if encoder.qp else "none; its preset sets the quality"
            raise JobError(f"--qp {request.qp}: {encoder.name} takes {allowed}")
        return None, request.qp
    if request.crf is not None:
        if encoder.crf is None or not encoder.crf[0] <= request.crf <= encoder.crf[1]:
            allowed = f"{encoder.crf[0]} to {encoder.crf[1]}" if encoder.crf else "none"
            raise JobError(f"--crf {request.crf:g}: {encoder.name} takes {allowed}")
        return request.crf, None
    return (encoder.crf[2] if encoder.crf else None), None


def _x264(preset: str, crf: float | None, qp: int | None, picture: PictureFormat) -> dict[str, str]:
    # stitchable: equal headers over all segments whatever their content.
    params = ["stitchable=1", "open-gop=0"]
    flags = {}
    if qp == 0:
        # The quick test for skipped blocks passes single wrong samples of interlaced pictures [measured].
        params.append("no-fast-pskip=1")
    if picture.field_order != "progressive":
        params.append(f"{picture.field_order}=1")
        flags = {"flags": "+ildct+ilme"}
    if picture.colour.chroma_location:
        params.append(f"chromaloc={picture.colour.chroma_location - 1}")
    rate = {"qp": str(qp)} if qp is not None else {"crf": f"{crf:g}"}
    return {"preset": preset, "threads": "1", "x264-params": ":".join(params), **rate, **flags}


def _x265(preset: str, crf: float | None, qp: int | None, picture: PictureFormat) -> dict[str, str]:
    params = ["log-level=none", "pools=none", "frame-threads=1", "open-gop=0", "info=0"]
    if picture.colour.chroma_location:
        params.append(f"chromaloc={picture.colour.chroma_location - 1}")
    rate = {"crf": f"{crf:g}"} if qp is None else {}
    if qp is not None:
        params.append("lossless=1" if qp == 0 else f"qp={qp}")
    return {"preset": preset, "threads": "1", "x265-params": ":".join(params), **rate}


def _svtav1(preset: str, crf: float | None, qp: int | None, picture: PictureFormat) -> dict[str, str]:
    rate = {"qp": str(qp)} if qp is not None else {"crf": f"{crf:g}"}
    return {"preset": preset, "svtav1-params": "lp=1", **rate}


def _vp9(preset: str, crf: float | None, qp: int | None, picture: PictureFormat) -> dict[str, str]:
    rate = {"crf": f"{crf:g}", "b": "0"} if crf is not None else {}
    if qp is not None:
        rate = {"lossless": "1"} if qp == 0 else {"crf": str(qp), "qmin": str(qp), "qmax": str(qp), "b": "0"}
    return {
        "deadline": "good",
        "cpu-used": preset,
        "threads": "1",
        "row-mt": "0",
        "auto-alt-ref": "1",
        "lag-in-frames": "25",
        **rate,
    }


def _ffv1(preset: str, crf: float | None, qp: int | None, picture: PictureFormat) -> dict[str, str]:
    return {"level": "3", "slicecrc": "1", "threads": "1"}


def _prores(layout: PixelLayout, preset: str, field_order: str) -> dict[str, str]:
    """Profile hq or 4444 by the chroma where none is asked for."""
    full = layout.chroma_shift_x == 0
    profile = preset or ("4444" if full else "hq")
    if full != profile.startswith("4444"):
        raise JobError(
            f"--preset {profile}: for {layout.name} prores_ks takes "
            f"{'4444, 4444xq' if full else 'proxy, lt, standard, hq'}"
        )
    fields = {"flags": "+ildct"} if field_order != "progressive" else {}
    return {"profile": str(PRORES_PROFILES.index(profile)), "vendor": "apl0", "threads": "1", **fields}


def _nvenc(preset: str, crf: float | None, qp: int | None, picture: PictureFormat) -> dict[str, str]:
    rate = {"rc": "constqp", "qp": str(qp)} if qp is not None else {"rc": "vbr", "cq": f"{crf:g}", "b": "0"}
    return {"preset": preset, "forced-idr": "1", **rate}
