"""A proxy in front of the S3 server that makes faults of HTTP.

A request is read whole before anything is done with it. While a fault is set, each request suffers
it with the given probability:

503, 403         it is refused, and not passed on
409              the same, but only what creates something
500_after        it is passed on, but answered with 500
hang             nothing happens until the fault is over, then the connection is closed
hangup           the connection is closed, and nothing passed on
truncate         it is passed on, and half of the answer comes back
slow             both directions take a second or so
late             the connection is closed; the request is passed on some seconds later
"""

import http.client
import random
import socketserver
import threading
import time

REFUSALS = {"503": (503, "SlowDown"), "403": (403, "AccessDenied"),
            "409": (409, "ConditionalRequestConflict")}


class Hangup(Exception):
    """Close the connection."""


class Handler(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self):
        try:
            while request := Request.read(self.rfile, self.wfile):
                self.serve(request)
        except (OSError, Hangup, ValueError, http.client.HTTPException):
            pass  # a connection that breaks is the client's affair

    def serve(self, request):
        proxy = self.server.proxy
        fault = proxy.draw()
        if fault == "409" and request.method != "PUT":
            fault = None
        if fault:
            proxy.hits[fault] = proxy.hits.get(fault, 0) + 1
        if fault in REFUSALS:
            return self.refuse(request, *REFUSALS[fault])
        if fault == "hang":
            proxy.changed.wait(60)
            raise Hangup
        if fault == "hangup":
            raise Hangup
        if fault == "late":
            threading.Timer(random.uniform(0.5, 8), proxy.quietly_forward, [request]).start()
            raise Hangup
        if fault == "slow":
            time.sleep(random.uniform(0.2, 1))
        answer = proxy.forward(request)
        if fault == "500_after":
            return self.refuse(request, 500, "InternalError")
        if fault == "truncate":
            self.wfile.write(answer[:len(answer) // 2])
            raise Hangup
        if fault == "slow":
            half = len(answer) // 2
            self.wfile.write(answer[:half])
            time.sleep(random.uniform(0.2, 1))
            answer = answer[half:]
        self.wfile.write(answer)

    def refuse(self, request, status, code):
        body = f'<?xml version="1.0"?><Error><Code>{code}</Code></Error>'.encode()
        head = (f"HTTP/1.1 {status} {code}\r\nContent-Type: application/xml\r\n"
                f"Content-Length: {len(body)}\r\n\r\n").encode()
        self.wfile.write(head if request.method == "HEAD" else head + body)


class Request:
    def __init__(self, method, path, headers, body):
        self.method, self.path, self.headers, self.body = method, path, headers, body

    @staticmethod
    def read(rfile, wfile):
        line = rfile.readline()
        if not line:
            return None
        method, path, _ = line.decode("latin-1").split()
        headers = []
        while (line := rfile.readline().decode("latin-1").rstrip("\r\n")):
            name, value = line.split(":", 1)
            headers.append((name, value.strip()))
        known = {name.lower(): value for name, value in headers}
        if "chunked" in known.get("transfer-encoding", ""):
            raise ValueError("a chunked request")
        if "expect" in known:
            wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        length = int(known.get("content-length", 0))
        body = rfile.read(length)
        if len(body) != length:
            raise Hangup
        return Request(method, path, headers, body)


class StoreProxy(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, upstream):
        super().__init__(("127.0.0.1", 0), Handler)
        self.proxy, self.upstream = self, upstream
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.fault, self.share, self.hits = None, 0, {}
        self.changed = threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def set(self, fault, share=1.0):
        """From now on this fault, or none."""
        old, self.changed = self.changed, threading.Event()
        self.fault, self.share = fault, share
        old.set()

    def draw(self):
        return self.fault if self.fault and random.random() < self.share else None

    def quietly_forward(self, request):
        try:
            self.forward(request)
        except (OSError, http.client.HTTPException):
            pass

    def forward(self, request):
        """Passes the request on; the answer as bytes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.upstream, timeout=60)
        try:
            connection.putrequest(request.method, request.path, skip_host=True,
                                  skip_accept_encoding=True)
            for name, value in request.headers:
                if name.lower() not in ("connection", "expect"):
                    connection.putheader(name, value)
            connection.endheaders(request.body)
            answer = connection.getresponse()
            body = answer.read()
            lines = [f"HTTP/1.1 {answer.status} {answer.reason}"]
            length = None if answer.status in (204, 304) else len(body)
            for name, value in answer.getheaders():
                if name.lower() == "content-length" and request.method == "HEAD":
                    length = value
                elif name.lower() not in ("content-length", "transfer-encoding", "connection"):
                    lines.append(f"{name}: {value}")
            if length is not None:
                lines.append(f"Content-Length: {length}")
            return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body
        finally:
            connection.close()
