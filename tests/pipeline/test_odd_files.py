"""Each real file met in the wild is decoded whole or refused in one sentence; none hangs or crashes.

What is expected stands in one table: frames, mode and pixel layout, or the words of the refusal.
"""

import json
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from pipeline.decode import decode_source_frames
from pipeline.index import SourceIndex
from pipeline.probe import probe
from pipeline.storage import Storage
from tests.pipeline.test_decode import digests, plain_digests

_EXO = "ExoPlayer__testdata_src_test_assets_media_"
_ANDROID = "ExoPlayer__extensions_media2_src_androidTest_res_raw_"
_TORCH = "torchcodec__test_resources_"

#: name -> (frames, mode, layout); or the words of the refusal.
EXPECTED: dict[str, tuple[int, str, str] | str] = {
    f"{_ANDROID}video_1.mp4": (23, "random", "yuv420p"),
    f"{_ANDROID}video_desks.3gp": (71, "random", "yuv420p"),
    f"{_EXO}avi_sample.avi": (96, "random", "yuv420p"),
    f"{_EXO}drm_sample_fragmented_clearkey.mp4": "found an encrypted mp4",
    f"{_EXO}flv_sample.flv": (30, "random", "yuv420p"),
    f"{_EXO}mkv_full_blocks.mkv": "found no video .subtitle",
    f"{_EXO}mkv_sample_with_ssa_subtitles.mkv": (30, "random", "yuv420p"),
    f"{_EXO}mkv_subsample_encrypted_altref.webm": "none of its first 1 pictures decodes",
    f"{_EXO}mp4_dolbyVision-hdr.MOV": (4, "random", "yuv420p10le"),
    f"{_EXO}mp4_h265_with_metadata_track.mp4": (3, "random", "yuv420p"),
    f"{_EXO}mp4_portrait_4k60.mp4": (18, "random", "yuv420p"),
    f"{_EXO}mp4_preroll-5s.mp4": (125, "random", "yuv420p"),
    f"{_EXO}mp4_sample.mp4": (30, "random", "yuv420p"),
    f"{_EXO}mp4_sample_18byte_nclx_colr.mp4": (30, "random", "yuv420p"),
    f"{_EXO}mp4_sample_ac3_aac.mp4": "found no video .audio ac3, audio aac",
    f"{_EXO}mp4_sample_android_slow_motion.mp4": (7, "random", "yuv420p"),
    f"{_EXO}mp4_sample_av1.mp4": (30, "random", "yuv420p"),
    f"{_EXO}mp4_sample_eac3.mp4": "found no video .audio eac3",
    f"{_EXO}mp4_sample_fragmented.mp4": (30, "random", "yuv420p"),
    f"{_EXO}mp4_sample_mdat_too_long.mp4": (30, "random", "yuv420p"),
    f"{_EXO}mp4_sample_sef_slow_motion.mp4": (63, "linear", "yuv420p"),
    f"{_EXO}mp4_sample_with_increasing_timestamps_320w_240h.mp4": (932, "random", "yuv420p"),
    f"{_EXO}ts_bbb_2500ms.ts": (58, "random", "yuv420p"),
    f"{_EXO}ts_sample_h264_dts_audio.ts": (3, "random", "yuv420p"),
    f"{_EXO}ts_sample_h265.ts": (30, "random", "yuv420p"),
    f"{_EXO}vp9_bear-vp9-odd-dimensions.webm": (30, "random", "yuv420p"),
    f"{_EXO}vp9_invalid-bitstream.webm": "none of its first 40 pictures decodes",
    "SampleVideo__Resources_Raw_AndroidVideo.mp4": (716, "random", "yuv420p"),
    "derived__audio_only.m4a": "found no video .audio aac",
    "derived__interlaced_tff_mpeg2.ts": (75, "random", "yuv420p"),
    "derived__no_audio.mp4": (216, "random", "yuv420p"),
    "derived__text_named.mp4": "found text",
    "derived__truncated_tail60pct.mp4": "index .moov. is missing",
    "derived__two_audio_tracks.mkv": (216, "random", "yuv420p"),
    "derived__vfr_dropped_frames.mp4": (117, "random", "yuv420p"),
    "imageio-binaries__images_cockatoo.mp4": (280, "random", "yuv444p"),
    "moviepy__media_-video-with-dash-.mp4": (5, "random", "yuv444p"),
    "moviepy__media_doc_medias_result.webm": "found 0 bytes",
    "moviepy__media_fire2.mp4": (25, "random", "yuv420p"),
    "moviepy__media_no_duration.webm": (74, "random", "yuv420p"),
    "moviepy__media_transparent.webm": (150, "random", "yuv420p"),
    f"{_TORCH}av1_video.mkv": (125, "random", "yuv420p"),
    f"{_TORCH}bt2020_10bit.mp4": (60, "random", "yuv420p10le"),
    f"{_TORCH}bt601_full_range.mp4": (60, "random", "yuv420p"),
    f"{_TORCH}discard_first_keyframe.mp4": (25, "random", "yuv420p"),
    f"{_TORCH}h264_10bits.mp4": (30, "random", "yuv420p10le"),
    f"{_TORCH}h265_10bits.mp4": (30, "random", "yuv420p10le"),
    f"{_TORCH}h265_video.mp4": (10, "random", "yuv420p"),
    f"{_TORCH}nasa_13013.mp4": (390, "random", "yuv420p"),
    f"{_TORCH}nasa_13013_rotated.mp4": (17, "random", "yuv420p"),
    f"{_TORCH}sine_stereo_mp2.mpg": (100, "random", "yuv420p"),
    f"{_TORCH}test_non_zero_start.mp4": (12, "random", "yuv420p"),
    f"{_TORCH}testsrc2_12bit_hdr.mp4": (60, "random", "yuv420p12le"),
    f"{_TORCH}testsrc2_444_10bit_hevc.mp4": (25, "random", "yuv444p10le"),
    f"{_TORCH}testsrc2_mpeg4.avi": (30, "random", "yuv420p"),
    f"{_TORCH}testsrc2_mpeg4.mp4": (1, "random", "yuv420p"),
    f"{_TORCH}testsrc2_odd_height_and_width_444.mp4": (25, "random", "yuv444p"),
    f"{_TORCH}testsrc2_odd_height_and_width_vp9_10bit.mp4": (25, "random", "yuv420p10le"),
    f"{_TORCH}testsrc2_vp8.webm": (30, "random", "yuv420p"),
}

_STORAGE = Storage()


_REFUSED = [name for name, found in EXPECTED.items() if isinstance(found, str)]
_PROBE_ALL = """
import json, sys
from pipeline.index import SourceIndex
from pipeline.probe import probe
from pipeline.storage import Storage
from tasks.errors import SourceError
for path in sys.argv[1:]:
    try:
        probe(Storage(), path)
        print(json.dumps("accepted"))
    except SourceError as error:
        print(json.dumps(error.message))
"""


@pytest.fixture(scope="module")
def refusals(test_data: Path) -> dict[str, str]:
    """What probing says of each unusable file, from a process of its own with a time limit."""
    paths = [str(test_data / "data" / "odd" / name) for name in _REFUSED]
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", _PROBE_ALL, *paths],
        cwd=root,
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        check=True,
    )
    return dict(zip(_REFUSED, map(json.loads, done.stdout.splitlines()), strict=True))


@pytest.mark.parametrize("name", _REFUSED)
def test_an_unusable_file_is_refused_in_one_sentence(name: str, refusals: dict[str, str]) -> None:
    message = refusals[name]
    assert re.search(str(EXPECTED[name]), message) and name in message and "\n" not in message


@pytest.mark.parametrize("name", [name for name, found in EXPECTED.items() if not isinstance(found, str)])
def test_a_real_file_decodes_as_a_plain_decode(name: str, test_data: Path) -> None:
    path = test_data / "data" / "odd" / name
    index = probe(_STORAGE, str(path))
    assert (index.frames, index.mode, index.format.layout.name) == EXPECTED[name]
    whole = plain_digests(path, index.stream.number)
    assert len(whole) == index.frames and np.all(np.diff(index.frame_pts) > 0)
    for start, end in _stretches(index):
        assert digests(decode_source_frames(_STORAGE, index, start, end, 4)) == whole[start:end]


def _stretches(index: SourceIndex) -> list[tuple[int, int]]:
    """All frames in four pieces; of a large video only some from the middle and the end."""
    n = index.frames
    if n * index.format.frame_bytes > 100_000_000:
        return [(n // 2, min(n, n // 2 + 8)), (max(0, n - 3), n)]
    cuts = sorted({0, min(7, n), n // 2, max(0, n - 1), n})
    return list(pairwise(cuts))


def test_the_table_names_every_file(test_data: Path) -> None:
    assert {path.name for path in (test_data / "data" / "odd").iterdir()} == set(EXPECTED)


def test_every_still_picture_is_one_frame(test_data: Path) -> None:
    for path in sorted((test_data / "data" / "stills").iterdir()):
        index = probe(_STORAGE, str(path))
        assert index.still and index.frames == 1 and index.format.layout.name == "yuv420p", path.name
        (batch,) = decode_source_frames(_STORAGE, index, 0, 1, 1)
        assert batch.planes[0].std() > 1


def test_what_real_files_say_of_themselves(test_data: Path) -> None:
    odd = test_data / "data" / "odd"
    assert "Dolby Vision metadata" in probe(_STORAGE, str(odd / f"{_EXO}mp4_dolbyVision-hdr.MOV")).dropped
    assert "alpha (transparency)" in probe(_STORAGE, str(odd / "moviepy__media_transparent.webm")).dropped
    assert probe(_STORAGE, str(odd / "derived__interlaced_tff_mpeg2.ts")).format.field_order == "tff"
    assert probe(_STORAGE, str(odd / f"{_TORCH}bt601_full_range.mp4")).format.colour.full_range
    assert probe(_STORAGE, str(odd / f"{_TORCH}testsrc2_12bit_hdr.mp4")).format.colour.matrix == 9
    two = probe(_STORAGE, str(odd / "derived__two_audio_tracks.mkv"))
    assert [s.language for s in two.streams if s.kind == "audio"] == ["eng", "zho"]
    cover = probe(_STORAGE, str(odd / "SampleVideo__Resources_Raw_AndroidVideo.mp4"))
    assert cover.format.width == 1280 and len([s for s in cover.streams if s.kind == "video"]) == 2
