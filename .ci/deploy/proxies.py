"""Runs Caddy and nginx with our examples before a program that says what reaches it, and sends them what a stranger and
what Notion might send. Only the name and the port are others than in the examples, and the certificate is made here."""

import hashlib
import http.client
import http.server
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

WORK = Path(sys.argv[1])
MIB = 1024 * 1024
SIGNATURE = "sha256=" + "ab" * 32


class Backend(http.server.BaseHTTPRequestHandler):
    """Answers with a digest of the body, and with the signature that came with it."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        wanted = int(self.headers["Content-Length"])
        body = self.rfile.read(wanted)
        if len(body) < wanted:
            # The proxy broke off.
            self.close_connection = True
            return
        said = f"{hashlib.sha256(body).hexdigest()} {self.headers['X-Notion-Signature']} {self.path}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    do_GET = do_POST

    def log_message(self, *_):
        pass


def free_port():
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return it.getsockname()[1]


def ask(connection, method, path, body=None):
    try:
        connection.request(method, path, body, {"Host": "hooks.example.com", "X-Notion-Signature": SIGNATURE})
    except OSError:
        # Who refuses a large body may do so before it has come.
        pass
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def until_open(port, process):
    for _ in range(300):
        with socket.socket() as it:
            if it.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None, "the proxy ended"
        time.sleep(0.1)
    raise AssertionError("the proxy does not listen")


def check(name, process, port, connect):
    try:
        until_open(port, process)
        # Not JSON as a proxy would write it, not even text: nobody may touch it.
        for body in [b'{ "id" :\r\n "\\u00e9" }', bytes(range(256)) * 64, b"a" * MIB]:
            expected = (200, f"{hashlib.sha256(body).hexdigest()} {SIGNATURE} /webhooks/notion")
            assert ask(connect(port), "POST", "/webhooks/notion", body) == expected, f"{name}: {len(body)} bytes"
        status, _ = ask(connect(port), "POST", "/webhooks/notion", b"a" * (MIB + 64 * 1024))
        # The Caddy of Debian 12 says 502 where it should say 413.
        assert status in (413, 502), f"{name}: a body over 1 MiB is answered {status}"
        for path in ["/", "/healthz", "/readyz", "/metrics", "/v1/status", "/webhooks", "/webhooks/notion/x", "/mcp"]:
            status, _ = ask(connect(port), "GET", path)
            assert status == 404, f"{name}: {path} is answered {status}"
        print(f"{name}: bodies pass unchanged, up to 1 MiB, and nothing else is led inside")
    finally:
        process.terminate()
        process.wait()


def caddy(upstream):
    port = free_port()
    environment = os.environ | {
        "SUPPRESSD_HOST": f"http://hooks.example.com:{port}",
        "SUPPRESSD_UPSTREAM": f"127.0.0.1:{upstream}",
        "HOME": str(WORK),
        "XDG_CONFIG_HOME": str(WORK),
        "XDG_DATA_HOME": str(WORK),
    }
    # Another Caddy may have its own address for administration.
    config = WORK / "Caddyfile"
    config.write_text(Path("deploy/Caddyfile").read_text().replace("{\n\tservers", "{\n\tadmin off\n\tservers", 1))
    command = ["caddy", "run", "--adapter", "caddyfile", "--config", str(config)]
    process = subprocess.Popen(command, env=environment, stderr=(WORK / "caddy.log").open("w"))
    check("Caddy", process, port, lambda port: http.client.HTTPConnection("127.0.0.1", port, timeout=20))


def nginx(upstream):
    port = free_port()
    certificate = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=hooks.example.com"]
    certificate += ["-keyout", WORK / "privkey.pem", "-out", WORK / "fullchain.pem"]
    subprocess.run(certificate, check=True, capture_output=True)
    text = Path("deploy/nginx.conf").read_text()
    changes = [
        (r"/etc/letsencrypt/live/hooks\.example\.com/", f"{WORK}/"),
        (r"listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        (r"listen \[::\]:443 ssl;", ""),
        (r"server 127\.0\.0\.1:8080;", f"server 127.0.0.1:{upstream};"),
    ]
    for pattern, here in changes:
        text, times = re.subn(pattern, here, text)
        assert times > 0, f"deploy/nginx.conf has no {pattern}"
    (WORK / "site.conf").write_text(text)
    (WORK / "nginx.conf").write_text(
        f"daemon off; pid {WORK}/nginx.pid; error_log {WORK}/nginx.log; events {{}}\n"
        f"http {{ access_log off; client_body_temp_path {WORK}/body; proxy_temp_path {WORK}/proxy;\n"
        f"fastcgi_temp_path {WORK}/f; uwsgi_temp_path {WORK}/u; scgi_temp_path {WORK}/s; include {WORK}/site.conf; }}\n"
    )
    command = ["nginx", "-p", WORK, "-c", WORK / "nginx.conf", "-e", WORK / "nginx.log"]
    subprocess.run([*command, "-t", "-q"], check=True)
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    connect = lambda port: http.client.HTTPSConnection("127.0.0.1", port, timeout=20, context=trusting)
    check("nginx", subprocess.Popen(command), port, connect)


WORK.mkdir(parents=True)
# The workers of nginx give root up.
WORK.chmod(0o755)
WORK.parent.chmod(0o755)
backend = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Backend)
threading.Thread(target=backend.serve_forever, daemon=True).start()
caddy(backend.server_address[1])
nginx(backend.server_address[1])
