"""What lies in a file can never lead a demuxer to another file or host."""

import os
import struct
import subprocess
import sys
from pathlib import Path

import av
import pytest

from pipeline.probe import probe
from pipeline.source import open_container
from pipeline.storage import Storage
from tasks.errors import SourceError
from tests.sources import WIDTH, Sources
from tests.stores import Traffic, http_server


def _box(kind: bytes, *inside: bytes) -> bytes:
    body = b"".join(inside)
    return struct.pack(">I", len(body) + 8) + kind + body


def _planted(canary_file: str, canary_url: str) -> dict[str, bytes]:
    """Files that try to make a demuxer open the canary, by name."""
    return {
        "playlist.mp4": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{canary_url}\n#EXT-X-ENDLIST\n".encode(),
        "playlist.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile://{canary_file}\n".encode(),
        "script.mp4": f"ffconcat version 1.0\nfile '{canary_file}'\n".encode(),
        "script.ffconcat": f"ffconcat version 1.0\nfile '{canary_url}'\n".encode(),
        "manifest.mp4": f'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static">'
        f"<Period><AdaptationSet><Representation><BaseURL>{canary_url}</BaseURL></Representation>"
        f"</AdaptationSet></Period></MPD>".encode(),
        "session.sdp": b"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
        "reference.mov": _box(b"ftyp", b"qt  \0\0\0\0qt  ")
        + _box(
            b"moov",
            _box(b"rmra", _box(b"rmda", _box(b"rdrf", b"\0\0\0\0url ", struct.pack(">I", len(canary_url)), canary_url.encode()))),
        ),
        "picture%03d.png": b"\x89PNG\r\n\x1a\n",
    }  # fmt: skip


@pytest.mark.parametrize("name", list(_planted("", "")))
def test_a_planted_file_opens_nothing_else(name: str, sources: Sources, tmp_path: Path) -> None:
    canary = sources.path("open mp4")
    with http_server(canary.parent) as (url, traffic):
        path = tmp_path / name
        path.write_bytes(_planted(str(canary), f"{url}/{canary.name}")[name])
        with pytest.raises(SourceError, match="found|none of its first"):
            probe(Storage(), str(path))
        assert traffic == Traffic()


def test_pictures_in_a_row_are_not_taken_for_one_video(tmp_path: Path, sources: Sources) -> None:
    """A name with a pattern is a file of that name, not a sequence."""
    for number in (1, 2):
        (tmp_path / f"shot{number:03d}.png").write_bytes(b"")
    with pytest.raises(SourceError, match="no such file"):
        probe(Storage(), str(tmp_path / "shot%03d.png"))


def test_the_planted_files_would_lead_elsewhere(sources: Sources, tmp_path: Path) -> None:
    """The control: opened without care, a playlist and a data reference do reach the canary."""
    canary = sources.path("closed mp4")
    playlist = tmp_path / "playlist.m3u8"
    playlist.write_bytes(_planted(str(canary), "")["playlist.m3u8"])
    with av.open(str(playlist)) as container:
        assert container.streams.video[0].width == WIDTH
    planted = _mov_of_data_elsewhere(sources, canary, tmp_path)
    with av.open(str(planted), options={"enable_drefs": "1", "use_absolute_path": "1"}):
        opened = [os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd") if n.isdigit() and _is_open(n)]
    assert str(canary) in opened


def _is_open(descriptor: str) -> bool:
    return os.path.exists(f"/proc/self/fd/{descriptor}")


def test_external_data_of_a_mov_is_not_followed(sources: Sources, tmp_path: Path) -> None:
    canary = sources.path("closed mp4")
    lines = _files_opened(_mov_of_data_elsewhere(sources, canary, tmp_path))
    assert lines and not [line for line in lines if canary.name in line]


def _mov_of_data_elsewhere(sources: Sources, elsewhere: Path, folder: Path) -> Path:
    """A real mov whose data reference says `in that other file` instead of `in this one`."""
    data = sources.path("open mov").read_bytes()
    at = data.index(b"dref")
    size = int.from_bytes(data[at - 4 : at], "big")
    name = str(elsewhere).encode() + b"\0" * (len(str(elsewhere)) % 2)
    record = bytes(10) + bytes(28) + bytes(12) + bytes(64) + bytes(16) + struct.pack(">HH", 0, 0) + bytes(16)
    record += struct.pack(">HH", 2, len(name)) + name + struct.pack(">HH", 0xFFFF, 0)
    planted = bytearray(data[:at] + b"dref" + b"\0\0\0\0\0\0\0\1" + _box(b"alis", b"\0\0\0\0", record))
    planted += data[at - 4 + size :]
    grown = len(planted) - len(data)
    # moov lies behind the payload, so only the boxes around the reference grow.
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"):
        place = planted.rindex(kind, 0, at + 4) - 4
        planted[place : place + 4] = struct.pack(">I", int.from_bytes(planted[place : place + 4], "big") + grown)
    path = folder / "planted.mov"
    path.write_bytes(planted)
    return path


def _files_opened(path: Path) -> list[str]:
    """Every file that probing and decoding `path` opens, told by the interpreter and by /proc."""
    script = (
        "import sys, os\n"
        "from pipeline.storage import Storage\nfrom pipeline.probe import probe\nfrom pipeline.decode import decode_source_frames\n"
        "from tasks.errors import ReelyardError\n"
        "import ctypes, av\n"
        "try:\n"
        "    index = probe(Storage(), sys.argv[1])\n"
        "    for batch in decode_source_frames(Storage(), index, 0, index.frames, 8):\n"
        "        print(*(os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd') if os.path.exists(f'/proc/self/fd/{n}')), sep='\\n')\n"
        "except ReelyardError as error:\n    print('refused', error)\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.splitlines()


def test_only_listed_demuxers_are_used(tmp_path: Path) -> None:
    path = tmp_path / "titles.mp4"
    path.write_bytes(b"1\n00:00:00,000 --> 00:00:02,000\nHello\n\n2\n00:00:02,000 --> 00:00:04,000\nthere\n")
    with pytest.raises(SourceError, match="found text; expected a video or a picture file"):
        open_container(Storage(), str(path))


@pytest.mark.parametrize("threads", ["AUTO", "SLICE"])
def test_an_early_close_does_not_hang(threads: str, sources: Sources) -> None:
    script = (
        "import sys\nfrom pipeline.storage import Storage\nfrom pipeline.source import open_container\n"
        "for _ in range(3):\n"
        "    container = open_container(Storage(), sys.argv[1])\n"
        "    stream = container.streams.video[0]\n"
        "    stream.thread_type, stream.codec_context.thread_count = sys.argv[2], 4\n"
        "    container.seek(2_000_000)\n"
        "    next(container.decode(stream))\n"
        "    del stream, container\n"
        "print('closed')\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script, str(sources.path("open mp4")), threads],
        cwd=root, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout == "closed\n"
