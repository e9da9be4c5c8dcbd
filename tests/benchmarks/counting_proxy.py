"""An S3 server in this machine and a proxy before it that counts every byte; real HTTP over loopback.

Counted are bytes of the connection, headers included, and requests by their request line.
"""

import logging
import re
import socket
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

_BLOCK_BYTES = 1 << 16
_REQUEST = re.compile(rb"^(GET|HEAD|PUT|POST|DELETE) [^\r\n]+ HTTP/1\.[01]\r\n", re.MULTILINE)


@dataclass
class Traffic:
    """What went through the proxy so far."""

    bytes_sent: int = 0
    "From the server to the client."
    bytes_received: int = 0
    requests: list[str] = field(default_factory=list)


class CountingProxy:
    """Forwards connections to the server's port and counts what passes."""

    def __init__(self, server_port: int) -> None:
        self.traffic = Traffic()
        self._server_port = server_port
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server_port))
                for one, other, sent in ((client, server, False), (server, client, True)):
                    threading.Thread(target=self._forward, args=(one, other, sent), daemon=True).start()

    def _forward(self, one: socket.socket, other: socket.socket, sent: bool) -> None:
        with suppress(OSError):
            while block := one.recv(_BLOCK_BYTES):
                with self._lock:
                    self._count(block, sent)
                other.sendall(block)
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _count(self, block: bytes, sent: bool) -> None:
        if sent:
            self.traffic.bytes_sent += len(block)
            return
        self.traffic.bytes_received += len(block)
        found = _REQUEST.finditer(block)
        self.traffic.requests += [match.group(0).decode(errors="replace").strip() for match in found]


@contextmanager
def s3_server() -> Iterator[int]:
    """The port of a moto server that lives as long as the block; its store is empty."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    port = int(server.get_host_and_port()[1])
    try:
        yield port
    finally:
        # What moto stores belongs to the process, not to the server.
        urllib.request.urlopen(f"http://127.0.0.1:{port}/moto-api/reset", data=b"", timeout=60).close()
        server.stop()


def s3_environment(port: int) -> dict[str, str]:
    """Standard variables that lead a client to the port, with credentials that open nothing."""
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "benchmark",
        "AWS_SECRET_ACCESS_KEY": "benchmark",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
