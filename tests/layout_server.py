#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Serves OCI layouts as a registry, as fast as it can or slower.

usage: layout_server.py LAYOUTS PORT-FILE [BYTES-PER-SECOND]

Repository NAME is the layout LAYOUTS/NAME. Writes the port, which the system chooses, to PORT-FILE, and ends with the process that
started it."""

import http.server
import json
import os
import re
import sys
import threading
import time

PIECE = 16384


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    layouts, rate = None, 0

    def log_message(self, *_):
        pass

    def find(self, name, kind, reference):
        """The file and the type of a blob or a manifest."""
        layout = os.path.join(self.layouts, name)
        media_type = "application/octet-stream"
        if kind == "manifests":
            with open(os.path.join(layout, "index.json"), "rb") as file:
                for entry in json.load(file)["manifests"]:
                    tag = entry.get("annotations", {}).get("org.opencontainers.image.ref.name")
                    if reference in (tag, entry["digest"]):
                        reference, media_type = entry["digest"], entry["mediaType"]
        return os.path.join(layout, "blobs", reference.replace(":", "/")), media_type

    def answer(self, status, data=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        for at in range(0, len(data) if self.command == "GET" else 0, PIECE):
            self.wfile.write(data[at:at + PIECE])
            if self.rate:
                time.sleep(PIECE / self.rate)

    def do_GET(self):
        if self.path == "/v2/":
            return self.answer(200)
        path, media_type = self.find(*re.fullmatch(r"/v2/(.*)/(manifests|blobs)/(.*)", self.path).groups())
        if not os.path.exists(path):
            return self.answer(404)
        with open(path, "rb") as file:
            data = file.read()
        part = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if part is None:
            return self.answer(200, data, Content_Type=media_type)
        begin = int(part.group(1))
        return self.answer(206, data[begin:], Content_Type=media_type, Content_Range=f"bytes {begin}-{len(data) - 1}/{len(data)}")

    do_HEAD = do_GET


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """A client that went away."""


def main():
    layouts, port_file, *rate = sys.argv[1:]
    Handler.layouts, Handler.rate = layouts, int(rate[0]) if rate else 0
    server = Server(("127.0.0.1", 0), Handler)
    with open(port_file + ".new", "w", encoding="ascii") as file:
        file.write(str(server.server_address[1]))
    os.rename(port_file + ".new", port_file)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(0.2)


main()
