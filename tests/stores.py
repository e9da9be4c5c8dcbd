"""Real servers on this machine for tests of storage: S3 (moto) and HTTP with ranges, requests counted."""

import contextlib
import functools
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.index import SourceIdentity
from pipeline.storage import Storage


@dataclass
class Traffic:
    """What a server sent: (path, bytes) of each answer to a GET."""

    answers: list[tuple[str, int]] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        return sum(size for _, size in self.answers)


class _RangeHandler(http.server.SimpleHTTPRequestHandler):
    """Files with Range, ETag and If-Match, as object stores serve them; without where told to."""

    traffic: Traffic
    ranges = True
    dies_after: int | None = None

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        data = path.read_bytes()
        etag = f'"{hash(data) & 0xFFFFFFFF:x}"'
        if self.headers.get("If-Match", etag) != etag:
            self.send_error(412)
            return
        wanted = self.headers.get("Range") if self.ranges else None
        if wanted:
            start, end = (int(v) if v else None for v in wanted.removeprefix("bytes=").split("-"))
            total, data = len(data), data[start or 0 : (end + 1) if end is not None else None]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{(start or 0) + len(data) - 1}/{total}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", etag)
        if self.ranges:
            self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        if self.command == "GET":
            if self.dies_after is not None and self.traffic.bytes + len(data) > self.dies_after:
                data = data[: len(data) // 2]  # promised more: the reader sees a broken connection
                self.close_connection = True
            else:
                self.traffic.answers.append((self.path, len(data)))
            self.wfile.write(data)

    do_HEAD = do_GET


@contextmanager
def http_server(folder: Path, *, ranges: bool = True, dies_after: int | None = None) -> "Iterator[tuple[str, Traffic]]":
    """(base URL, traffic) of a server of the folder's files; each answer past `dies_after` bytes breaks off."""
    traffic = Traffic()
    handler = type("Handler", (_RangeHandler,), {"traffic": traffic, "ranges": ranges, "dies_after": dies_after})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", traffic
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass(frozen=True)
class CountingStorage(Storage):
    """Storage that notes the ranged reads it makes."""

    reads: list[tuple[int, int]] = field(default_factory=list)
    "(start, bytes received) of each."

    def read_range(self, uri: str, start: int, end: int, identity: SourceIdentity | None = None) -> bytes:
        data = super().read_range(uri, start, end, identity)
        self.reads.append((start, len(data)))
        return data

    @property
    def bytes(self) -> int:
        return sum(size for _, size in self.reads)


@contextmanager
def s3_server() -> Iterator[dict[str, str]]:
    """Storage options of an S3 server with a bucket named `bucket`; servers of one process share what they store."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        region_name="eu-central-1",
    )
    # What moto stores belongs to the process: a second server of it has the bucket already.
    with contextlib.suppress(client.exceptions.BucketAlreadyOwnedByYou):
        client.create_bucket(Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    try:
        yield {"endpoint_url": endpoint, "key": "test", "secret": "test", "region": "eu-central-1"}
    finally:
        server.stop()
