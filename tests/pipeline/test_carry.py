"""Everything beside the pictures goes over, moved and cut with them, or is named."""

import dataclasses
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.audio import encode_audio
from pipeline.carry import CarryPlan, main_audio, plan_carry
from pipeline.encoders import choose_encoding, container_of
from pipeline.index import SourceIndex
from pipeline.job import EncodeRequest, RenderJob
from pipeline.stitch import Stitched, StitchRequest, stitch
from pipeline.storage import Storage
from pipeline.timeline import Timeline, plan_timeline
from tests.pipeline.pictures import check_silent, encode_all, picture_format
from tests.pipeline.rich_sources import Rich, Sound, chirp, heard, index_of, make_source, shown_texts


def render(
    index: SourceIndex,
    output: Path,
    job: RenderJob | None = None,
    *,
    voice: Path | None = None,
    audio_seconds: Fraction | None = None,
    statement: str = "",
) -> tuple[Stitched, CarryPlan, Timeline]:
    """An output with the source's other streams; the pictures are numbered anew."""
    job = job or RenderJob(index.uri, str(output))
    timeline = plan_timeline(index, job, audio_seconds)
    container = container_of(str(output))
    carry = plan_carry(index, timeline, container, new_audio=voice is not None)
    spec = choose_encoding(
        picture_format(),
        timeline,
        EncodeRequest(preset="8" if container == "webm" else "ultrafast"),
        container,
    )
    count = len(timeline)
    parts = encode_all(picture_format(), timeline, spec, [0, count // 3, count], output.parent)
    request = StitchRequest(str(output), carry, voice=voice, statement=statement)
    return stitch(Storage({}), parts, timeline, spec, request, output.parent / "work"), carry, timeline


def packets_of(path: Path, kind: str, number: int = 0) -> list[tuple[bytes, Fraction, Fraction]]:
    with av.open(str(path)) as container:
        stream = getattr(container.streams, kind)[number]
        return [(bytes(p), p.pts * p.time_base, p.dts * p.time_base) for p in container.demux(stream) if p.size]


@pytest.mark.parametrize(("source", "output"), [("mp4", "mp4"), ("mp4", "mov"), ("mov", "mp4"), ("mkv", "mkv")])
def test_copied_audio_is_byte_and_time_identical(source: str, output: str, tmp_path: Path) -> None:
    index = index_of(make_source(tmp_path / f"in.{source}"))
    target = tmp_path / "out" / f"film.{output}"
    _, plan, _ = render(index, target)
    assert [s.how for s in plan.streams] == ["copy", "copy"] and plan.lines == ()
    for number in (0, 1):
        assert packets_of(target, "audio", number) == packets_of(Path(index.uri), "audio", number)
        mine, rate, first = heard(target, number)
        theirs, _, start = heard(Path(index.uri), number)
        assert np.array_equal(mine, theirs) and first == start and rate == 44100
    check_silent(target)


def test_languages_titles_dispositions_chapters_and_metadata_go_over(tmp_path: Path) -> None:
    for ending in ("mp4", "mkv"):
        index = index_of(
            make_source(tmp_path / f"in.{ending}", Rich(subtitles="mov_text" if ending == "mp4" else "subrip"))
        )
        target = tmp_path / ending / f"film.{ending}"
        render(index, target, statement="Pictures altered by Reelyard: lip-sync")
        with av.open(str(target)) as found:
            assert [s.language for s in found.streams.audio] == ["fra", "eng"]
            assert [int(s.disposition) & 1 for s in found.streams.audio] == [1, 0]
            assert found.streams.subtitles[0].language == "deu"
            tags = {k.lower(): v for k, v in found.metadata.items()}
            assert tags["title"] == "A film"
            assert tags["comment"] == "by hand | Pictures altered by Reelyard: lip-sync"
            chapters = [
                (c["start"] * c["time_base"], c["end"] * c["time_base"], c["metadata"]["title"])
                for c in found.chapters()
            ]
        assert chapters == [(0, 2, "One"), (2, 4, "Two")]
        check_silent(target)


@pytest.mark.parametrize(
    ("source", "codec", "output", "held"),
    [
        ("mp4", "mov_text", "mp4", "mov_text"),
        ("mp4", "mov_text", "mkv", "subrip"),
        ("mp4", "mov_text", "webm", "webvtt"),
        ("mkv", "subrip", "mp4", "mov_text"),
        ("mkv", "subrip", "mkv", "subrip"),
        ("mkv", "ass", "mkv", "ass"),
        ("mkv", "ass", "mov", "mov_text"),
        ("mkv", "webvtt", "webm", "webvtt"),
        ("mkv", "ass", "webm", "webvtt"),
    ],
)
def test_subtitles_go_over_with_words_and_times(
    source: str, codec: str, output: str, held: str, tmp_path: Path
) -> None:
    index = index_of(make_source(tmp_path / f"in.{source}", Rich(subtitles=codec, sounds=())))
    target = tmp_path / "out" / f"film.{output}"
    _, plan, _ = render(index, target)
    with av.open(str(target)) as found:
        assert found.streams.subtitles[0].codec_context.codec.canonical_name == held
        assert found.streams.subtitles[0].language == ("ger" if output == "mov" else "deu")
    assert shown_texts(target) == [(0.5, 1.5, "Première ligne"), (2.0, 3.0, "second line")]
    assert (plan.lines == ()) == (held == codec)
    check_silent(target)


def test_trim_moves_and_cuts_every_stream(tmp_path: Path) -> None:
    index = index_of(make_source(tmp_path / "in.mp4", Rich(subtitles="mov_text")))
    target = tmp_path / "out" / "film.mp4"
    job = RenderJob(index.uri, str(target), trim=(Fraction(1), Fraction(5, 2)))
    _, plan, timeline = render(index, target, job)
    start, end = plan.start_seconds, timeline.duration_seconds
    assert 1 <= start < Fraction(104, 100) and abs(end - Fraction(3, 2)) < Fraction(1, 25)
    mine, rate, first = heard(target, 0)
    theirs, _, _ = heard(Path(index.uri), 0)
    assert abs(mine.shape[1] / rate - end) <= 1024 / rate + 1e-9
    at = round(start * rate)
    skip = 2048  # A decoder that starts in the middle settles in its first frames.
    wanted = theirs[:, at + skip : at + mine.shape[1] - 1024]
    offset = round(first * rate)
    assert abs(offset) <= 1
    assert np.abs(mine[:, skip - offset : skip - offset + wanted.shape[1]] - wanted).max() < 1e-3
    assert shown_texts(target)[0][2] == "Première ligne" and shown_texts(target)[0][0] == 0.0
    assert abs(shown_texts(target)[0][1] - (1.5 - float(start))) < 0.002
    assert abs(shown_texts(target)[1][1] - float(end)) < 0.002
    with av.open(str(target)) as found:
        chapters = [(c["start"] * c["time_base"], c["end"] * c["time_base"]) for c in found.chapters()]
    assert [(round(float(a), 2), round(float(b), 2)) for a, b in chapters] == [
        (0.0, round(2 - float(start), 2)),
        (round(2 - float(start), 2), round(float(end), 2)),
    ]
    check_silent(target)


@pytest.mark.parametrize("output", ["mkv", "webm"])
@pytest.mark.parametrize("trim", [None, Fraction(1)])
def test_aac_from_mp4_stays_in_time_in_matroska(output: str, trim: Fraction | None, tmp_path: Path) -> None:
    """Matroska has no edit lists: priming is left out, or the sound encoded anew."""
    index = index_of(make_source(tmp_path / "in.mp4"))
    target = tmp_path / "out" / f"film.{output}"
    _, plan, _ = render(index, target, RenderJob(index.uri, str(target), trim=(trim, None)))
    mine, rate, first = heard(target, 1)
    wave = chirp(200000, 44100, 900.0, 1)[0]
    at = plan.start_seconds + Fraction(3, 2)
    begin = round((Fraction(3, 2) - first) * rate)
    expected = np.interp(float(at) + np.arange(2000) / rate, np.arange(200000) / 44100, wave)
    lags = {k: float(np.abs(mine[0][begin + k : begin + k + 2000] - expected).mean()) for k in range(-60, 61)}
    best = min(lags, key=lambda k: lags[k])
    assert abs(best) <= 0.0011 * rate and lags[best] < 0.03
    check_silent(target)


def test_ts_sources_give_up_their_clock_and_their_adts(tmp_path: Path) -> None:
    path = make_source(tmp_path / "in.ts", Rich(sounds=(Sound(rate=48000),), chapters=()), muxer="mpegts")
    with av.open(str(path)) as found:
        origin = min(Fraction(s.start_time) * s.time_base for s in found.streams if s.start_time is not None)
    index = index_of(path, origin)
    for ending in ("mp4", "mkv"):
        target = tmp_path / ending / f"film.{ending}"
        render(index, target)
        mine, rate, first = heard(target)
        theirs, _, start = heard(path)
        assert abs((first - (start - origin)) * rate) <= (1 if ending == "mp4" else 48)
        assert np.array_equal(mine[:, :100000], theirs[:, :100000])
        check_silent(target)


def test_what_a_container_cannot_hold_is_converted_by_name(tmp_path: Path) -> None:
    sounds = (Sound("pcm_s16le", 48000), Sound("libopus", 48000, default=False, hertz=500.0))
    index = index_of(make_source(tmp_path / "in.mkv", Rich(sounds=sounds)))
    target = tmp_path / "mp4" / "film.mp4"
    _, plan, _ = render(index, target)
    assert [s.how for s in plan.streams] == ["aac", "copy"]
    assert plan.lines == ("audio stream #1 (pcm_s16le, fra) converted by aac: .mp4 does not hold pcm_s16le",)
    for number, hertz in ((0, 300.0), (1, 500.0)):
        mine, rate, first = heard(target, number)
        wave = chirp(192000, 48000, hertz, 2)[:, 48000:52000]
        begin = 48000 - round(first * rate)
        misfits = {k: float(np.abs(mine[:, begin + k : begin + k + 4000] - wave).mean()) for k in range(-60, 61)}
        lag = min(misfits, key=lambda k: misfits[k])
        assert rate == 48000 and misfits[lag] < 0.02
        assert abs(lag) <= (0 if number == 0 else 24)  # Matroska's clock tells the priming of Opus in milliseconds.
    check_silent(target)


@pytest.mark.parametrize("codec", ["ac3", "eac3", "alac", "flac", "libmp3lame", "mp2", "libopus"])
@pytest.mark.parametrize("output", ["mp4", "mkv"])
def test_other_audio_codecs_are_copied_in_time(codec: str, output: str, tmp_path: Path) -> None:
    index = index_of(make_source(tmp_path / "in.mkv", Rich(frames=60, sounds=(Sound(codec, 48000),), chapters=())))
    target = tmp_path / "out" / f"film.{output}"
    _, plan, _ = render(index, target)
    assert plan.streams[0].how == "copy"
    assert [p[0] for p in packets_of(target, "audio")] == [p[0] for p in packets_of(Path(index.uri), "audio")]
    mine, rate, first = heard(target)
    theirs, _, start = heard(Path(index.uri))
    at = 30000 + round((start - first) * rate)
    wave = theirs[:, 30000:34000]
    misfits = {k: float(np.abs(mine[:, at + k : at + k + 4000] - wave).mean()) for k in range(-100, 101)}
    lag = min(misfits, key=lambda k: misfits[k])
    assert misfits[lag] < 0.001 and abs(lag) <= 48
    check_silent(target)


def test_a_new_voice_replaces_the_main_audio_only(tmp_path: Path) -> None:
    sounds = (Sound(language="eng", default=False), Sound(language="fra", hertz=900.0))
    index = index_of(make_source(tmp_path / "in.mp4", Rich(sounds=sounds)))
    main = main_audio(index.streams)
    assert main is not None and main.language == "fra"
    voice_source = make_source(
        tmp_path / "voice.mkv", Rich(frames=100, sounds=(Sound("flac", 32000, "mono", hertz=2000.0),))
    )
    voice = encode_audio(Storage({}), str(voice_source), "mp4", tmp_path / "voice.mp4")
    target = tmp_path / "out" / "film.mp4"
    _, plan, _ = render(index, target, voice=voice.path)
    assert "audio stream #2 (aac, fra) replaced by the new audio" in plan.lines
    assert packets_of(target, "audio", 0) == packets_of(voice.path, "audio", 0)
    assert packets_of(target, "audio", 1) == packets_of(Path(index.uri), "audio", 0)
    with av.open(str(target)) as found:
        assert [int(s.disposition) & 1 for s in found.streams.audio] == [1, 0]
    assert heard(target)[2] == 0
    check_silent(target)


def test_a_looped_timeline_carries_nothing_and_says_so(tmp_path: Path) -> None:
    index = index_of(make_source(tmp_path / "in.mp4", Rich(frames=30, subtitles="mov_text")))
    job = RenderJob(index.uri, "out.mp4", audio="voice.wav", fit="audio:loop")
    timeline = plan_timeline(index, job, Fraction(3))
    plan = plan_carry(index, timeline, "mp4", new_audio=True)
    assert plan.streams == () and plan.chapters == ()
    assert any("subtitle stream #3 (mov_text, deu) dropped" in line for line in plan.lines)
    assert any("2 chapters dropped" in line for line in plan.lines)


def test_pictures_cut_to_a_shorter_voice_cut_the_rest(tmp_path: Path) -> None:
    index = index_of(make_source(tmp_path / "in.mp4"))
    target = tmp_path / "out" / "film.mp4"
    job = RenderJob(index.uri, str(target), audio="voice.wav", fit="audio:ping-pong")
    _, plan, timeline = render(index, target, job, audio_seconds=Fraction(2))
    assert timeline.duration_seconds >= 2 and plan.end_seconds == timeline.duration_seconds
    for number in (0, 1):
        mine, rate, _ = heard(target, number)
        assert abs(mine.shape[1] / rate - 2) < 0.06


def test_unknown_streams_and_second_videos_are_named(tmp_path: Path) -> None:
    index = index_of(make_source(tmp_path / "in.mp4"))
    extra = dataclasses.replace(index.streams[0], number=7)
    odd = dataclasses.replace(index.streams[1], number=8, codec="")
    index = dataclasses.replace(index, streams=(*index.streams, extra, odd), dropped=("Dolby Vision metadata",))
    timeline = plan_timeline(index, RenderJob(index.uri, "out.mp4"), None)
    lines = plan_carry(index, timeline, "mp4", new_audio=False).lines
    assert lines[0] == "Dolby Vision metadata dropped"
    assert "video stream #7" in lines[1] and "audio stream #8" in lines[2]


def test_attachments_and_cover_pictures_go_over(tmp_path: Path) -> None:
    path = tmp_path / "in.mkv"
    make_source(tmp_path / "plain.mkv", Rich(frames=20))
    cover = av.CodecContext.create("mjpeg", "w")
    cover.width, cover.height, cover.pix_fmt, cover.time_base = 32, 32, "yuvj420p", Fraction(1, 25)
    jpeg = bytes(cover.encode(av.VideoFrame(32, 32, "yuvj420p"))[0])
    with av.open(str(tmp_path / "plain.mkv")) as source, av.open(str(path), "w") as output:
        out = output.add_stream_from_template(source.streams.video[0], opaque=True)
        output.add_attachment("font.ttf", "application/x-truetype-font", b"not really a font")
        output.add_attachment("cover.jpg", "image/jpeg", jpeg)
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.stream = out
                output.mux_one(packet)
    index = index_of(path)
    target = tmp_path / "out" / "film.mkv"
    render(index, target)
    with av.open(str(target)) as found:
        fonts = [s.data for s in found.streams if s.type == "attachment"]
        covers = [s for s in found.streams.video if s.disposition & av.stream.Disposition.attached_pic]
        assert fonts == [b"not really a font"] and len(covers) == 1
        assert bytes(next(p for p in found.demux(covers[0]) if p.size)) == jpeg
    into_mp4 = tmp_path / "mp4" / "film.mp4"
    _, plan, _ = render(index, into_mp4)
    assert any("attachment stream #1" in line and "dropped" in line for line in plan.lines)
    with av.open(str(into_mp4)) as found:
        assert any(s.disposition & av.stream.Disposition.attached_pic for s in found.streams.video)
