"""A proxy before a node that changes what the node says, on a free port of 127.0.0.1."""

import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Twist = Callable[[str, list[Any], Any], Any]
"""Takes method, parameters and the honest result, and returns what is said instead."""


class Liar:
    """`twist` changes results; `speak` writes the whole HTTP answer, given the honest body.

    Without either, it is honest.
    """

    def __init__(self, target: str) -> None:
        self.target = target
        self.twist: Twist | None = None
        self.speak: Callable[[BaseHTTPRequestHandler, bytes], None] | None = None
        self.asked: list[str] = []
        self.url = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        content = handler.rfile.read(int(handler.headers["Content-Length"]))
        request = urllib.request.Request(self.target, content, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as honest:
            body = honest.read()
        question = json.loads(content)
        self.asked.append(question["method"])
        if self.speak:
            self.speak(handler, body)
            return
        members = json.loads(body)
        if self.twist and "result" in members:
            members["result"] = self.twist(
                question["method"], question["params"], members["result"]
            )
            body = json.dumps(members).encode()
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)


@contextmanager
def liar(target: str) -> Iterator[Liar]:
    """Run a proxy before the node at `target` for a block."""
    found = Liar(target)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            try:
                found.answer(self)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def log_message(self, *_arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
