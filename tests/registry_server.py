#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A container registry that misbehaves as it is told, for the tests of the registry client.

usage: registry_server.py IMAGES STATE [SETTING=VALUE | RULE]…

Serves the OCI layouts below the directory IMAGES: repository team/app is the layout IMAGES/team/app. Ends on SIGTERM, and with the
process that started it. Five listeners, on ports that the system chooses, are written to STATE/ports as variables for a shell:

    registry_port    127.0.0.1   /v2/…, and /token
    store_port       127.0.0.2   /store/…, a blob storage with signed URLs. It answers 400 to any Authorization, as S3 does
    token_port       127.0.0.1   /token, for realm=other
    plain_port       127.0.0.1   with TLS: the same as registry_port without it
    proxy_port       127.0.0.1   a proxy for http and https. Names that end in .test or .io lead to registry_port

Each request is a line of JSON in STATE/requests, written before its answer: at (the listener), method, path, status, and what the client
sent: query, host, range, accept, encoding, agent, authorization ("Basic NAME", "Basic wrong", "Bearer 3" for the third token, "Bearer
wrong"), and the names in the form of a POST.

A SETTING says what the registry is like:

    auth=basic | bearer             default: open to all
    user=NAME:PASSWORD              who may pull; without it, anybody gets a token
    anonymous=yes                   even with user=, a token is given without credentials (but not for wrong ones)
    identity-token=TEXT             a POST with this refresh token gets a token
    realm=other | URL               where the tokens are; default: /token on registry_port
    challenge=FORM                  how a 401 asks, see Challenge below
    blob-challenge=no               a 401 asks on /v2/ only
    token-field=access_token        default: token
    expires-in=SECONDS              as the answer says it; default: it does not
    token-life=SECONDS              and how long a token really lasts; default: for ever
    token-uses=N                    a token lasts for N requests
    token-bytes=N                   the length of a token; default 2000
    scope=SCOPE                     a token without this scope too is refused as insufficient_scope
    signed-uses=N                   a signed URL of the store lasts for N requests, then it is 403
    tls=DIR                         https with DIR/server.crt and DIR/server.key
    client-ca=FILE                  and clients need a certificate by this one
    proxy-user=NAME:PASSWORD        the proxy's
    error-text=TEXT                 the message of errors; \\xHH for bytes

A RULE is "REQUEST [TIMES] ACTION [ARGUMENT…]". REQUEST: ping (GET /v2/), resolve (HEAD of a manifest), manifest (GET), config, layer, blob
(both, at the registry), store (a blob at the store), token, any. TIMES: N (the Nth of such requests alone), N-M, N-; all if it is left
out. Rules come after authentication. Those that fit a request apply in the order given:

    header NAME:VALUE               one header more, or instead; without VALUE: not this header
    status CODE [NAME:VALUE]…       this and nothing else
    redirect [CODE] URL             with {store} (a signed URL of the store), {plain}, {registry} (URLs without a path), {path}, {count}
    cut BYTES                       the connection ends after that many bytes of the body
    hangup                          or before any answer
    stall BYTES                     nothing comes any more after that many bytes
    drip BYTES                      that many bytes at a time, ten times a second
    chunked                         without Content-Length
    until-close                     without Content-Length, ended by the end of the connection
    whole                           Range is ignored
    shift BYTES                     a part begins that much later than the client asked, and says so
    lie BYTES                       a part begins that much later than its Content-Range says
    flip OFFSET                     a byte of the body is another one
    shorten BYTES, lengthen BYTES   the body is shorter or longer, consistently
    body FILE                       the content of that file

In headers, {date+N} is the date N seconds from now, as HTTP spells it.
"""

import base64
import email.utils
import http.client
import http.server
import json
import os
import re
import secrets
import select
import signal
import socket
import socketserver
import ssl
import sys
import threading
import time
import urllib.parse

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
ERROR_CODES = {400: "UNSUPPORTED", 401: "UNAUTHORIZED", 403: "DENIED", 404: "NOT_FOUND", 429: "TOOMANYREQUESTS"}
DIGEST = re.compile(r"sha(256:[0-9a-f]{64}|512:[0-9a-f]{128})")
NEVER = float("inf")


class Response:
    """What is to be sent. Rules edit it."""

    def __init__(self, status=200, body=b"", headers=None, whole=None):
        self.status, self.body, self.headers = status, body, dict(headers or {})
        self.whole = body if whole is None else whole  # the blob of which body is a part
        self.framing = "length"  # length, chunked, close
        self.stop_after, self.at_stop = NEVER, "close"  # bytes; close, stall
        self.drip = 0
        self.silent = False

    def set(self, name, value):
        for old in [header for header in self.headers if header.lower() == name.lower()]:
            del self.headers[old]
        if value:
            self.headers[name] = value


class Actions:
    """One method for each word of a rule: it edits the response to a request."""

    def __init__(self, server):
        self.server = server

    def header(self, response, _request, text):
        name, _, value = text.partition(":")
        response.set(name, expand_dates(value.strip()))

    def status(self, response, _request, text):
        code, *headers = text.split()
        response.__dict__.update(self.server.error(int(code)).__dict__)
        for header in headers:
            self.header(response, None, header)

    def redirect(self, response, request, text):
        code, url = ([307] + text.split())[-2:]
        names = {"store": self.server.signed_url(request) if "{store}" in url else "", "plain": self.server.url("plain", "http"),
                 "registry": self.server.url("registry"), "path": request.path, "count": self.server.count()}
        response.__dict__.update(Response(int(code), b"", {"Location": url.format(**names)}).__dict__)

    def cut(self, response, _request, text):
        response.stop_after = int(text)

    def hangup(self, response, _request, _text):
        response.silent = True

    def stall(self, response, _request, text):
        response.stop_after, response.at_stop = int(text), "stall"

    def drip(self, response, _request, text):
        response.drip = int(text)

    def chunked(self, response, _request, _text):
        response.framing = "chunked"

    def until_close(self, response, _request, _text):
        response.framing = "close"

    def whole(self, response, _request, _text):
        response.status, response.body = 200, response.whole
        response.set("Content-Range", None)

    def shift(self, response, _request, text):
        if response.status == 206:
            first = len(response.whole) - len(response.body) + int(text)
            response.body = response.whole[first:]
            response.set("Content-Range", f"bytes {first}-{len(response.whole) - 1}/{len(response.whole)}")

    def lie(self, response, _request, text):
        if response.status == 206:
            response.body = response.body[int(text):] + b"\0" * int(text)

    def flip(self, response, _request, text):
        offset = int(text)
        response.body = response.body[:offset] + bytes([response.body[offset] ^ 1]) + response.body[offset + 1:]

    def shorten(self, response, _request, text):
        response.body = response.body[:-int(text)]

    def lengthen(self, response, _request, text):
        response.body += b"\0" * int(text)

    def body(self, response, _request, text):
        with open(text, "rb") as file:
            response.body = file.read()


class Rule:
    def __init__(self, text, actions):
        words = text.split(None, 2)
        self.request = words[0]
        self.first, self.last = 1, NEVER
        if re.fullmatch(r"\d+(-\d*)?", words[1]):
            first, dash, last = words[1].partition("-")
            self.first, self.last = int(first), int(last or first) if last or not dash else NEVER
            words = [words[0]] + words[2].split(None, 1)
        self.argument = words[2] if len(words) > 2 else ""
        self.action = getattr(actions, words[1].replace("-", "_"))
        self.seen = 0

    def fits(self, kinds):
        """Counts the requests of its kind."""
        if self.request not in kinds:
            return False
        self.seen += 1
        return self.first <= self.seen <= self.last


class Challenge:
    """The WWW-Authenticate headers of a 401: a method for each form, which returns their values."""

    def __init__(self, scheme, realm, extra):
        self.scheme, self.realm, self.extra = scheme, realm, extra
        rest = 'service="registry.test"' + "".join(f',{key}="{value}"' for key, value in extra.items())
        self.text = 'Basic realm="the registry"' if scheme == "basic" else f'Bearer realm="{realm}",{rest}'

    def headers(self, form):
        return getattr(self, form.replace("-", "_"))()

    def usual(self):
        return [self.text]

    def several_headers(self):
        return ["Negotiate", 'Digest realm="x", qop="auth,auth-int", nonce="a,b=c"', self.text]

    def one_header(self):
        return ['Negotiate, NewScheme dGhlIHRlc3Q=, Digest realm="x, Bearer realm=\\"no\\"", nonce="1", ' + self.text]

    def odd_case(self):
        scheme, rest = self.text.split(" ", 1)
        rest = re.sub(r"(\w+)=", lambda match: match.group(1).upper() + " = ", rest, count=1)
        return [scheme.upper() + "   " + rest.replace('",', '" ,\t')]

    def tokens(self):
        """Values without quotes where the grammar lets them be."""
        return [re.sub(r'service="([^"]*)"', r"service=\1", self.text)]

    def escaped(self):
        return [self.text.replace("registry.test", "registry\\.test")]

    def basic_too(self):
        return ['Basic realm="do not use this, please"', self.text]

    def unknown(self):
        return ['Negotiate, Digest realm="x", nonce="1"']


class Tokens:
    """The tokens given out so far, by their text."""

    def __init__(self, settings):
        self.settings = settings
        self.by_text = {}

    def make(self, scopes):
        number = len(self.by_text) + 1
        text = f"TokenSecret.{number}." + secrets.token_hex(int(self.settings.get("token-bytes", 2000)) // 2)
        self.by_text[text] = {"number": number, "scopes": scopes, "born": time.monotonic(), "uses": 0}
        return text

    def use(self, text):
        """The token if it is still good, else None."""
        token = self.by_text.get(text)
        if token is None:
            return None
        token["uses"] += 1
        age = time.monotonic() - token["born"]
        if age > float(self.settings.get("token-life", NEVER)) or token["uses"] > float(self.settings.get("token-uses", NEVER)):
            return None
        return token

    def name(self, text):
        return str(self.by_text[text]["number"]) if text in self.by_text else "wrong"


class Registry:
    """What all listeners share. Methods that change something hold the lock."""

    def __init__(self, images, state, words):
        self.images, self.state = images, state
        self.settings = dict(word.split("=", 1) for word in words if re.match(r"[a-z-]+=", word))
        actions = Actions(self)
        self.rules = [Rule(word, actions) for word in words if not re.match(r"[a-z-]+=", word)]
        self.tokens = Tokens(self.settings)
        self.signatures = {}
        self.counter = 0
        self.lock = threading.RLock()
        self.requests = open(os.path.join(state, "requests"), "a", buffering=1)
        self.ports = {}

    def setting(self, name, default=None):
        return self.settings.get(name, default)

    def url(self, listener, scheme=None):
        host = "127.0.0.2" if listener == "store" else "127.0.0.1"
        return f"{scheme or ('https' if self.setting('tls') else 'http')}://{host}:{self.ports[listener]}"

    def count(self):
        with self.lock:
            self.counter += 1
            return self.counter

    def log(self, **entry):
        with self.lock:
            self.requests.write(json.dumps({key: value for key, value in entry.items() if value is not None}) + "\n")

    def error(self, status, text=None):
        text = text or self.setting("error-text", "this is what the test wants").encode().decode("unicode_escape")
        body = {"errors": [{"code": ERROR_CODES.get(status, "UNKNOWN"), "message": text}]}
        return Response(status, json.dumps(body).encode(), {"Content-Type": "application/json"})

    def apply_rules(self, kinds, response, request):
        with self.lock:
            fitting = [rule for rule in self.rules if rule.fits(kinds)]
        for rule in fitting:
            rule.action(response, request, rule.argument)
        return response

    def proxied(self, netloc):
        """Where the proxy finds a host."""
        host, _, port = netloc.partition(":")
        if host.endswith((".test", ".io")):
            return "127.0.0.1", self.ports["registry"]
        return host, int(port or 80)

    # --- content ---

    def layout_file(self, repository, *names):
        try:
            with open(os.path.join(self.images, repository, *names), "rb") as file:
                return file.read()
        except OSError:
            return None

    def descriptors(self, repository):
        return json.loads(self.layout_file(repository, "index.json") or b'{"manifests": []}')["manifests"]

    def manifest(self, repository, reference):
        """Digest, bytes and media type, or None."""
        digest, media_type = (reference, None) if DIGEST.fullmatch(reference) else (None, None)
        for descriptor in self.descriptors(repository):
            if reference in (descriptor["digest"], descriptor.get("annotations", {}).get("org.opencontainers.image.ref.name")):
                digest, media_type = descriptor["digest"], descriptor["mediaType"]
        data = self.blob(repository, digest) if digest else None
        return None if data is None else (digest, data, media_type or media_type_of(data))

    def blob(self, repository, digest):
        return self.layout_file(repository, "blobs", *digest.split(":")) if DIGEST.fullmatch(digest) else None

    # --- the store's signed URLs ---

    def signed_url(self, request):
        repository, digest = re.fullmatch(r"/v2/(.+)/blobs/(.+)", request.path).groups()
        with self.lock:
            signature = f"SignatureSecret{len(self.signatures) + 1}"
            self.signatures[signature] = 0
        return f"{self.url('store')}/store/{repository}/{digest}?signature={signature}"

    def use_signature(self, signature):
        with self.lock:
            if signature not in self.signatures:
                return False
            self.signatures[signature] += 1
            return self.signatures[signature] <= float(self.setting("signed-uses", NEVER))

    # --- who may ---

    def user_is(self, header):
        """Whether a header holds the right name and password; None if there is none of the kind."""
        if not header or not header.lower().startswith("basic "):
            return None
        return base64.b64decode(header[6:]).decode() == self.setting("user")

    def refusal(self, request):
        """The 401 for a request, or None if it may pass."""
        header = request.headers.get("Authorization", "")
        wanted = f"repository:{request.repository}:pull" if request.repository else None
        extra = {}
        if self.setting("auth") == "basic":
            if self.user_is(header):
                return None
        elif self.setting("auth") == "bearer":
            with self.lock:
                token = self.tokens.use(header[7:]) if header.startswith("Bearer ") else None
            needed = [scope for scope in (wanted, self.setting("scope") if wanted else None) if scope]
            if token and all(scope in token["scopes"] for scope in needed):
                return None
            if wanted:
                extra["scope"] = " ".join(needed) if token else wanted
            if token:
                extra["error"] = "insufficient_scope"
            elif header:
                extra["error"] = "invalid_token"
        else:
            return None
        return self.challenge(request, extra)

    def challenge(self, request, extra):
        response = self.error(401, "authentication required")
        if self.setting("blob-challenge") != "no" or request.path == "/v2/":
            realm = self.setting("realm", "same")
            realm = {"same": self.url("registry") + "/token", "other": self.url("token") + "/token"}.get(realm, realm)
            headers = Challenge(self.setting("auth"), realm, extra).headers(self.setting("challenge", "usual"))
            response.headers["WWW-Authenticate"] = headers
        return response

    def token(self, request, form):
        """The answer of /token: by GET with Basic, or by POST with a refresh token."""
        user_is = self.user_is(request.headers.get("Authorization"))
        if form.get("grant_type") == ["refresh_token"]:
            if form.get("refresh_token") != [self.setting("identity-token")]:
                return self.error(401, "the refresh token is wrong")
        elif user_is is False or (user_is is None and self.setting("user") and self.setting("anonymous") != "yes"):
            return self.error(401, "incorrect username or password")
        scopes = " ".join(form.get("scope", [])).split()
        with self.lock:
            answer = {self.setting("token-field", "token"): self.tokens.make(scopes)}
        if self.setting("expires-in"):
            answer["expires_in"] = int(self.setting("expires-in"))
        return Response(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})


def expand_dates(text):
    return re.sub(r"\{date\+(\d+)\}", lambda match: email.utils.formatdate(time.time() + int(match.group(1)), usegmt=True), text)


def media_type_of(data):
    try:
        document = json.loads(data)
        return document.get("mediaType", OCI_MANIFEST) if isinstance(document, dict) else OCI_MANIFEST
    except (ValueError, RecursionError):
        return OCI_MANIFEST


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection of any listener; `at` of its server says which."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes
    repository = None

    def do_GET(self):
        self.answer()

    def do_HEAD(self):
        self.answer()

    def do_POST(self):
        self.answer()

    def do_CONNECT(self):
        if self.proxy_may_pass():
            tunnel(self, self.registry.proxied(self.path))

    @property
    def registry(self):
        return self.server.registry

    def answer(self):
        self.form = self.read_form()
        if self.server.at == "proxy":
            if self.proxy_may_pass():
                self.forward()
            return
        url = urllib.parse.urlsplit(self.path)
        self.path, self.query = url.path, urllib.parse.parse_qs(url.query)
        if self.path == "/token" and self.server.at in ("registry", "token", "plain"):
            kinds, response = {"token", "any"}, self.registry.token(self, self.form or self.query)
        elif self.server.at == "store":
            kinds, response = self.answer_of_store()
        else:
            kinds, response = self.answer_of_registry()
        if response.status < 400:
            response = self.registry.apply_rules(kinds, response, self)
        self.send(response)

    def read_form(self):
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return urllib.parse.parse_qs(data.decode()) if data else None

    # --- /v2/ ---

    def answer_of_registry(self):
        match = re.fullmatch(r"/v2/(.+)/(manifests|blobs)/([^/]+)", self.path)
        self.repository = match.group(1) if match else None
        refusal = self.registry.refusal(self)
        if refusal:
            return set(), refusal
        if self.path == "/v2/":
            return {"ping", "any"}, Response(200, b"{}", {"Content-Type": "application/json"})
        if not match:
            return set(), self.registry.error(404, "there is nothing at this path")
        repository, what, reference = match.groups()
        if what == "blobs":
            return self.blob(repository, reference)
        return {"resolve" if self.command == "HEAD" else "manifest", "any"}, self.manifest(repository, reference)

    def manifest(self, repository, reference):
        found = self.registry.manifest(repository, reference)
        if not found:
            return self.registry.error(404, "manifest unknown")
        digest, data, media_type = found
        if media_type not in re.split(r"[,;\s]+", self.accepted()):
            return self.registry.error(404, f"the manifest is a {media_type}, which the client does not accept")
        return Response(200, data, {"Content-Type": media_type, "Docker-Content-Digest": digest})

    def accepted(self):
        return ", ".join(self.headers.get_all("Accept", []))

    def blob(self, repository, digest):
        data = self.registry.blob(repository, digest)
        if data is None:
            return set(), self.registry.error(404, "blob unknown to registry")
        kinds = {"blob", "any", "config" if data.startswith(b"{") else "layer"}
        return kinds, self.part_of(data, {"Content-Type": "application/octet-stream", "Docker-Content-Digest": digest})

    def part_of(self, data, headers):
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not match:
            return Response(200, data, dict(headers, **{"Accept-Ranges": "bytes"}))
        first, last = int(match.group(1)), min(int(match.group(2) or len(data) - 1), len(data) - 1)
        if first >= len(data):
            return Response(416, b"", {"Content-Range": f"bytes */{len(data)}"})
        headers = dict(headers, **{"Content-Range": f"bytes {first}-{last}/{len(data)}"})
        return Response(206, data[first:last + 1], headers, data)

    # --- the store ---

    def answer_of_store(self):
        match = re.fullmatch(r"/store/(.+)/([^/]+)", self.path)
        if self.headers.get("Authorization"):
            return set(), self.registry.error(400, "Only one auth mechanism allowed")
        if not match or not self.registry.use_signature(self.query.get("signature", [""])[0]):
            return set(), self.registry.error(403, "Request has expired")
        kinds, response = self.blob(*match.groups())
        response.set("Docker-Content-Digest", None)
        return {"store", "any"} if response.status < 400 else set(), response

    # --- the proxy ---

    def proxy_may_pass(self):
        given, wanted = self.headers.get("Proxy-Authorization", ""), self.registry.setting("proxy-user")
        if not wanted or given == "Basic " + base64.b64encode(wanted.encode()).decode():
            self.log(200)
            return True
        self.send(Response(407, b"", {"Proxy-Authenticate": 'Basic realm="the proxy"'}))
        return False

    def forward(self):
        url = urllib.parse.urlsplit(self.path)
        connection = http.client.HTTPConnection(*self.registry.proxied(url.netloc))
        connection.putrequest(self.command, url.path + ("?" + url.query if url.query else ""), skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if not name.lower().startswith("proxy-"):
                connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        kept = {name: value for name, value in answer.getheaders() if name.lower() not in ("connection", "date", "server")}
        self.send(Response(answer.status, answer.read(), kept), log=False)

    # --- sending ---

    def send(self, response, log=True):
        if log:
            self.log(None if response.silent else response.status)
        if response.silent:
            return self.end()
        self.send_response(response.status)
        length = len(response.body)
        if response.framing == "length":
            response.headers.setdefault("Content-Length", str(length))
        elif response.framing == "chunked":
            response.headers["Transfer-Encoding"] = "chunked"
        else:
            response.headers["Connection"] = "close"
        for name, values in response.headers.items():
            for value in values if isinstance(values, list) else [values]:
                self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD" or response.status == 304:
            return None
        return self.send_body(response)

    def send_body(self, response):
        stops = response.stop_after < len(response.body)
        body = response.body[:response.stop_after] if stops else response.body
        step = response.drip or 1 << 20
        try:
            for start in range(0, len(body), step):
                piece = body[start:start + step]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if response.framing == "chunked" else piece)
                if response.drip:
                    time.sleep(0.1)
            if stops and response.at_stop == "stall":
                select.select([self.connection], [], [], 60)  # until the client gives up
            elif response.framing == "chunked" and not stops:
                self.wfile.write(b"0\r\n\r\n")
        except OSError:  # the client has gone
            stops = True
        if stops or response.framing == "close":
            self.end()

    def end(self):
        self.close_connection = True
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def log(self, status):
        header = self.headers.get("Authorization", "")
        scheme, _, text = header.partition(" ")
        if scheme == "Basic":
            text = base64.b64decode(text).decode().split(":")[0] if self.registry.user_is(header) else "wrong"
        elif scheme:
            text = self.registry.tokens.name(text)
        self.registry.log(at=self.server.at, method=self.command, path=self.path, query=vars(self).get("query") or None, status=status,
                          host=self.headers.get("Host"), range=self.headers.get("Range"), accept=self.accepted() or None,
                          encoding=self.headers.get("Accept-Encoding"), agent=self.headers.get("User-Agent"), authorization=f"{scheme} {text}" if header else None,
                          form=sorted(self.form) if vars(self).get("form") else None)

    def log_message(self, *_):
        pass


def tunnel(handler, address):
    """Carries bytes both ways until one side is done."""
    with socket.create_connection(address) as other:
        handler.send_response(200)
        handler.end_headers()
        pair = {handler.connection: other, other: handler.connection}
        while True:
            for source in select.select(list(pair), [], [])[0]:
                data = source.recv(65536)
                if not data:
                    return handler.end()
                pair[source].sendall(data)


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, registry, at, host, tls):
        self.registry, self.at, self.tls = registry, at, tls
        super().__init__((host, 0), Handler)
        registry.ports[at] = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def server_bind(self):
        """Without HTTPServer's own, which asks for the host's name."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]

    def finish_request(self, request, client_address):
        """In the connection's own thread, so that a slow handshake holds up nobody."""
        with self.tls.wrap_socket(request, server_side=True) if self.tls else request as connection:
            self.RequestHandlerClass(connection, client_address, self)

    def handle_error(self, request, client_address):
        kind = sys.exc_info()[0]
        if not issubclass(kind, OSError):  # a client that went away, or a handshake that failed, is what tests do
            super().handle_error(request, client_address)


def tls_context(registry):
    directory = registry.setting("tls")
    if not directory:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.path.join(directory, "server.crt"), os.path.join(directory, "server.key"))
    if registry.setting("client-ca"):
        context.load_verify_locations(registry.setting("client-ca"))
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def main():
    parent = os.getppid()
    images, state, *words = sys.argv[1:]
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    registry = Registry(images, state, words)
    tls = tls_context(registry)
    for at, host, secure in (("registry", "127.0.0.1", tls), ("store", "127.0.0.2", tls), ("token", "127.0.0.1", tls),
                             ("plain", "127.0.0.1", None), ("proxy", "127.0.0.1", None)):
        Server(registry, at, host, secure)
    ports = "".join(f"{at}_port={port}\n" for at, port in registry.ports.items())
    with open(os.path.join(state, "ports.new"), "w") as file:
        file.write(ports)
    os.rename(os.path.join(state, "ports.new"), os.path.join(state, "ports"))
    while os.getppid() == parent:
        time.sleep(0.2)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main()
