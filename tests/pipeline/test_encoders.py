"""What a request for an encoding becomes, and what is refused before any work."""

import struct
from fractions import Fraction

import pytest

from pipeline.encoders import CONTAINERS, choose_encoding, container_of, working_hardware_encoders
from pipeline.hdr import Hdr10, hdr_options, parse_hdr10
from pipeline.job import EncodeRequest
from tasks.errors import JobError
from tests.pipeline.pictures import constant_timeline, make_timeline, picture_format

TIMELINE = constant_timeline(50)


@pytest.mark.parametrize("name", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le"])
def test_auto_keeps_depth_and_subsampling_where_x264_holds_them(name: str) -> None:
    spec = choose_encoding(picture_format(name), TIMELINE, EncodeRequest(), "mp4")
    assert (spec.encoder, spec.pixel_format, spec.notes) == ("libx264", name, ())


@pytest.mark.parametrize(
    ("name", "codec", "held", "said"),
    [
        ("yuv420p12le", "auto", "yuv420p10le", "12 to 10 bits by rounding"),
        ("yuv444p12le", "hevc", "yuv444p12le", ""),
        ("yuv440p", "auto", "yuv444p", "chroma to another resolution"),
        ("yuv420p", "prores", "yuv422p10le", "8 to 10 bits, chroma"),
        ("yuv444p16le", "ffv1", "yuv444p16le", ""),
        ("yuv444p", "av1", "yuv420p", "chroma to another resolution"),
    ],
)
def test_what_an_encoder_cannot_hold_is_converted_and_said(name: str, codec: str, held: str, said: str) -> None:
    spec = choose_encoding(picture_format(name), TIMELINE, EncodeRequest(codec), "mkv")
    assert spec.pixel_format == held
    assert said in " ".join(spec.notes)


def test_auto_takes_an_encoder_that_holds_an_odd_size() -> None:
    spec = choose_encoding(picture_format("yuv420p", 161, 91), TIMELINE, EncodeRequest(), "mp4")
    assert (spec.encoder, spec.width, spec.height, spec.notes) == ("libsvtav1", 161, 91, ())


def test_h264_pads_an_odd_size_and_says_so() -> None:
    spec = choose_encoding(picture_format("yuv420p", 161, 91), TIMELINE, EncodeRequest("h264"), "mp4")
    assert (spec.width, spec.height) == (162, 92)
    assert "161x91 padded to 162x92" in spec.notes[0]
    assert choose_encoding(picture_format("yuv444p", 161, 91), TIMELINE, EncodeRequest("h264"), "mp4").width == 161


@pytest.mark.parametrize(
    ("request_", "container", "words"),
    [
        (EncodeRequest("h265"), "mp4", "expected auto, h264, hevc"),
        (EncodeRequest("h264"), "webm", "name the output .mp4, .mov, .mkv, or use --codec vp9, av1"),
        (EncodeRequest("prores"), "mp4", "name the output .mov, .mkv"),
        (EncodeRequest(preset="quick"), "mp4", "takes ultrafast"),
        (EncodeRequest("av1", preset="veryfast"), "mp4", "takes 0, 1"),
        (EncodeRequest(crf=99), "mp4", "takes 0 to 51"),
        (EncodeRequest("ffv1", crf=10), "mkv", "takes none"),
        (EncodeRequest("av1", qp=0), "mp4", "takes 1 to 63"),
        (EncodeRequest("prores", qp=1), "mov", "its preset sets the quality"),
        (EncodeRequest("prores", preset="4444"), "mov", "takes proxy, lt, standard, hq"),
        (EncodeRequest(crf=18, qp=0), "mp4", "give one of them"),
        (EncodeRequest(pixel_format="yuv444p12le"), "mp4", "libx264 takes yuv420p"),
        (EncodeRequest("h264_nvenc"), "mp4", "use --codec h264"),
    ],
)
def test_bad_requests_are_refused_with_what_is_allowed(request_: EncodeRequest, container: str, words: str) -> None:
    if request_.codec == "h264_nvenc" and not working_hardware_encoders()["h264_nvenc"]:
        pytest.skip("this machine has the hardware encoder")
    with pytest.raises(JobError, match=None) as caught:
        choose_encoding(picture_format(), TIMELINE, request_, container)
    assert words in str(caught.value)


def test_an_unknown_ending_is_refused() -> None:
    assert container_of("s3://b/a.b/Film.M4V") == "mp4"
    with pytest.raises(JobError, match="expected one of .mp4"):
        container_of("film.avi")


def test_every_codec_of_every_container_opens() -> None:
    for container, codecs in CONTAINERS.items():
        for codec in codecs:
            assert choose_encoding(picture_format(), TIMELINE, EncodeRequest(codec), container).encoder


def test_hardware_encoders_are_known_by_trial() -> None:
    for reason in working_hardware_encoders().values():
        assert reason == "" or len(reason) > 10


def test_interlaced_pictures_need_an_encoder_that_keeps_fields() -> None:
    fields = picture_format("yuv420p", 160, 96, field_order="tff")
    spec = choose_encoding(fields, TIMELINE, EncodeRequest(), "mp4")
    assert "tff=1" in dict(spec.options)["x264-params"]
    with pytest.raises(JobError, match="--deinterlace"):
        choose_encoding(fields, TIMELINE, EncodeRequest("vp9"), "mp4")


@pytest.mark.parametrize(
    ("rate", "gop"),
    [(Fraction(25), 50), (Fraction(30000, 1001), 60), (Fraction(1, 2), 2), (Fraction(1000), 250)],
)
def test_keyframes_come_every_two_seconds_within_bounds(rate: Fraction, gop: int) -> None:
    spec = choose_encoding(picture_format(), constant_timeline(10, rate), EncodeRequest(), "mp4")
    assert spec.gop_frames == gop


def test_a_variable_rate_gets_its_mean() -> None:
    timeline = make_timeline([0, 100, 300, 400], 1000, Fraction(1, 1000), None)
    assert choose_encoding(picture_format(), timeline, EncodeRequest(), "mp4").frame_rate == 4


def _rationals(*values: tuple[int, int]) -> bytes:
    return b"".join(struct.pack("=2i", *v) for v in values)


def test_mastering_data_becomes_each_encoders_own_words() -> None:
    points = [(34000, 50000), (16000, 50000), (13250, 50000), (34500, 50000), (7500, 50000), (3000, 50000)]
    white = [(15635, 50000), (16450, 50000)]
    data = _rationals(*points, *white, (50, 10000), (10000000, 10000)) + struct.pack("=2i", 1, 1)
    light = struct.pack("=2I", 1000, 400)
    side = parse_hdr10({"MASTERING_DISPLAY_METADATA": data, "CONTENT_LIGHT_LEVEL": light})
    expected = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
    assert hdr_options("libx264", side) == {"x264-params": f"mastering-display={expected}:cll=1000,400"}
    assert hdr_options("libx265", side) == {"x265-params": f"hdr10=1:master-display={expected}:max-cll=1000,400"}
    av1 = hdr_options("libsvtav1", side)
    assert "L(1000.0000,0.0050):content-light=1000,400" in av1["svtav1-params"]
    # What these cannot write stands in the container.
    assert hdr_options("ffv1", side) == hdr_options("libvpx-vp9", side) == hdr_options("libx264", Hdr10()) == {}
