"""An S3 server in a process of its own, behind a door that can be told to answer errors for a while."""

import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_BLOCK_BYTES = 1 << 16
_BODY = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Reduce rate.</Message></Error>"
_REFUSAL = (
    b"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\n"
    b"Content-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(_BODY), _BODY)
)
_SERVER = (
    "import sys, logging; logging.getLogger('werkzeug').setLevel(logging.ERROR);"
    "from moto.server import ThreadedMotoServer as S;"
    "s = S(ip_address='127.0.0.1', port=0, verbose=False); s.start();"
    "print(s.get_host_and_port()[1], flush=True); sys.stdin.read(); s.stop()"
)


class Door:
    """Forwards connections to the server; while it is shut every connection is answered 503, old ones are cut."""

    def __init__(self, server_port: int) -> None:
        self.shut_until = 0.0
        self._server_port = server_port
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def shut(self, seconds: float) -> None:
        self.shut_until = time.monotonic() + seconds
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError):
            if time.monotonic() < self.shut_until:
                asked = client.recv(_BLOCK_BYTES)
                client.sendall(_REFUSAL.removesuffix(_BODY) if asked.startswith(b"HEAD") else _REFUSAL)
                client.shutdown(socket.SHUT_RDWR)
                client.close()
                return
            server = socket.create_connection(("127.0.0.1", self._server_port))
            self._open |= {client, server}
            back = threading.Thread(target=self._forward, args=(server, client), daemon=True)
            back.start()
            self._forward(client, server)
            back.join()
            self._open -= {client, server}
            client.close()
            server.close()

    @staticmethod
    def _forward(one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while block := one.recv(_BLOCK_BYTES):
                other.sendall(block)
        with suppress(OSError):
            other.shutdown(socket.SHUT_WR)


@contextmanager
def store_behind_a_door() -> Iterator[Door]:
    """A fresh store with a bucket named `bucket`; its client environment is `client_environment(door.port)`."""
    server = subprocess.Popen([sys.executable, "-c", _SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    port = int(server.stdout.readline())
    urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}/bucket", method="PUT"), timeout=30).close()
    door = Door(port)
    try:
        yield door
    finally:
        door.close()
        assert server.stdin is not None
        server.stdin.close()
        server.wait(timeout=30)


def client_environment(port: int) -> dict[str, str]:
    """Standard variables that lead a client through the door."""
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_ACCESS_KEY_ID": "chaos", "AWS_SECRET_ACCESS_KEY": "chaos",
        "AWS_DEFAULT_REGION": "us-east-1",
    }  # fmt: skip
