"""A small hub on the loopback interface, which can break off, lie and refuse."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Hub:
    """Serves one large file of one commit, and small ones, as huggingface.co does."""

    def __init__(self, path, content):
        self.path = path
        self.content = content
        self.etag = hashlib.sha256(content).hexdigest()
        self.breaks_after = None  # bytes; from then on it is out of order
        self.out_of_order = False
        self.ranges = []  # of the requests for the content
        self.small = {}  # path → content of other files, which git has, and not its large storage
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def log_message(self, *arguments):
                pass

            def small(self):
                """Answer a request for a small file; return its content."""
                content = hub.small[self.path]
                blob = b'blob %d\0' % len(content) + content
                self.send_response(200)
                self.send_header('X-Repo-Commit', hub.path.split('/')[4])
                self.send_header('ETag', f'"{hashlib.sha1(blob).hexdigest()}"')
                self.send_header('Content-Length', str(len(content)))
                self.end_headers()
                return content

            def head(self):
                if hub.out_of_order or self.path != hub.path:
                    self.send_response(503 if hub.out_of_order else 404)
                    self.send_header('Content-Length', '0')
                    self.end_headers()
                    return None
                span = self.headers.get('Range', '')
                start = int(span.removeprefix('bytes=').rstrip('-')) if span else 0
                if start > len(hub.content):
                    self.send_response(416)
                    self.send_header('Content-Length', '0')
                    self.end_headers()
                    return None
                part = hub.content[start:]
                self.send_response(206 if start else 200)
                self.send_header('X-Repo-Commit', hub.path.split('/')[4])
                self.send_header('X-Linked-Etag', f'"{hub.etag}"')
                self.send_header('X-Linked-Size', str(len(hub.content)))
                self.send_header('Content-Length', str(len(part)))
                if start:
                    end = len(hub.content)
                    self.send_header('Content-Range', f'bytes {start}-{end - 1}/{end}')
                self.end_headers()
                return start, part

            def do_HEAD(self):
                if self.path in hub.small:
                    self.small()
                else:
                    self.head()

            def do_GET(self):
                if self.path in hub.small:
                    self.wfile.write(self.small())
                    return
                found = self.head()
                if found is None:
                    return
                start, part = found
                hub.ranges.append(start)
                if hub.breaks_after is not None:
                    self.wfile.write(part[: hub.breaks_after])
                    hub.breaks_after, hub.out_of_order = None, True
                    self.close_connection = True
                    return
                self.wfile.write(part)

        self._server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.url = f'http://127.0.0.1:{self._server.server_port}'
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()
