"""The ways in: TLS, a Unix socket, and pages in a browser."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import stat
import subprocess

import httpx2 as httpx
import pytest

from tests.conftest import run_gateway, run_weigh
from tests.gateway.test_lifecycle import Served, fake, play
from weighbridge.errors import AddressInUse, BadSetting
from weighbridge.gateway import keys
from weighbridge.gateway.listening import Place
from weighbridge.settings import Settings

ASKED = {"model": "one", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 2}


def make_certificate(folder, name: str = "gateway.example", *more: str):
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         *(more or ("-nodes",)), "-keyout", folder / "key.pem", "-out", folder / "cert.pem", "-days", "1",
         "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"],
        check=True, capture_output=True,
    )  # fmt: skip
    (folder / "key.pem").chmod(0o600)
    return folder / "cert.pem", folder / "key.pem"


def test_over_tls_the_commands_trust_the_gateways_own_certificate_and_no_other(tmp_path):
    certificate, key = make_certificate(tmp_path)
    key.chmod(0o644)
    (tmp_path / "other").mkdir()
    other, _ = make_certificate(tmp_path / "other")
    tls = {"WEIGHBRIDGE_TLS_CERTIFICATE": str(certificate), "WEIGHBRIDGE_TLS_KEY": str(key)}
    with run_gateway(tmp_path, "one=fake:reply=over tls", **tls) as running:
        assert running.url.startswith("https://127.0.0.1:")
        context = ssl.create_default_context(cafile=str(certificate))
        with (
            socket.create_connection(("127.0.0.1", int(running.port()))) as raw,
            context.wrap_socket(raw, server_hostname="gateway.example") as wrapped,
        ):
            assert wrapped.selected_alpn_protocol() in ("http/1.1", None)
            assert wrapped.version() in ("TLSv1.2", "TLSv1.3")
        env = {"WEIGHBRIDGE_STATE_DIR": str(tmp_path), "WEIGHBRIDGE_PORT": running.port()}
        said = run_weigh("chat", "hello", **env, **tls)
        assert (said.returncode, said.stdout.strip()) == (0, "over tls"), said.stderr
        assert json.loads(run_weigh("ps", "--json", **env, **tls).stdout)["models"][0]["name"] == "one"
        kept = tmp_path / "shown_certificate.pem"
        assert "PRIVATE" not in kept.read_text()
        refused = run_weigh(
            "ps", **{**env, "WEIGHBRIDGE_STATE_DIR": str(tmp_path / "other")}, WEIGHBRIDGE_TLS_CERTIFICATE=str(other)
        )
        assert refused.returncode == 1
        assert "certificate verify failed" in refused.stderr
        certificate.write_text("broken")
        assert run_weigh("stop", **env, **tls).returncode == 0
        running.process.wait(60)
    assert not kept.exists()
    assert f"chmod 600 {key}" in (tmp_path / "stderr.txt").read_text()


@pytest.mark.parametrize("what", ["nothing there", "no pem", "another's key", "a password"])
def test_a_certificate_that_cannot_be_used_is_told_before_anything_starts(tmp_path, what):
    certificate, key = make_certificate(tmp_path, "a", *(("-passout", "pass:geheim") if what == "a password" else ()))
    if what == "nothing there":
        certificate.unlink()
    elif what == "no pem":
        certificate.write_text("hello")
    elif what == "another's key":
        (tmp_path / "other").mkdir()
        key = make_certificate(tmp_path / "other")[1]
    settings = Settings(port=0, tls_certificate=str(certificate), tls_key=str(key))

    with pytest.raises(BadSetting) as caught:
        Place(settings)
    assert str(certificate) in str(caught.value)
    assert {"nothing there": "No such file", "no pem": "", "another's key": "key values mismatch",
            "a password": "password"}[what] in str(caught.value)  # fmt: skip


def test_a_unix_socket_is_its_owners_alone_and_the_commands_reach_it(tmp_path):
    path = tmp_path / "g.sock"
    env = {"WEIGHBRIDGE_STATE_DIR": str(tmp_path), "WEIGHBRIDGE_HOST": f"unix:{path}"}
    with socket.socket(socket.AF_UNIX) as left:  # what a killed gateway left
        left.bind(str(path))
    with run_gateway(tmp_path, "one=fake:reply=through a socket", WEIGHBRIDGE_HOST=f"unix:{path}") as running:
        assert running.url == f"unix:{path}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        said = run_weigh("chat", "hello", **env)
        assert (said.returncode, said.stdout.strip()) == (0, "through a socket"), said.stderr
        with pytest.raises(AddressInUse, match="cannot listen"):
            Place(Settings(host=f"unix:{path}"))
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://localhost") as http:
            assert http.post("/v1/chat/completions", json=ASKED).status_code == 200
            foreign = http.post("/v1/chat/completions", json=ASKED, headers={"host": "evil.example"})
            assert foreign.status_code == 403
        assert run_weigh("stop", **env).returncode == 0
        running.process.wait(60)
    assert not path.exists()


def test_a_path_where_no_socket_can_be_is_told(tmp_path):
    (tmp_path / "file").write_text("mine")
    for host, what in ((f"unix:{tmp_path}/file", "in use"), (f"unix:{tmp_path}/none/g.sock", "No such file")):
        with pytest.raises(AddressInUse, match=what):
            Place(Settings(host=host))
    assert (tmp_path / "file").read_text() == "mine"


ORIGIN = {"origin": "https://chat.example.org"}
PREFLIGHT = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}


def test_pages_of_other_origins_are_kept_out_unless_the_settings_name_them(tmp_path):
    path = "/v1/chat/completions"

    async def closed(served: Served) -> None:
        for asked in (path, "/v1/models"):
            answer = await served.http.options(asked, headers=ORIGIN | PREFLIGHT)
            assert answer.status_code in (403, 405)
            assert not any(name.startswith("access-control") for name in answer.headers)
        assert (await served.http.post(path, json=ASKED, headers=ORIGIN)).status_code == 403

    async def opened(served: Served) -> None:
        for asked in (path, "/v1/models", "/health"):
            answer = await served.http.options(asked, headers=ORIGIN | PREFLIGHT)
            assert answer.status_code == 204, asked
            assert answer.headers["access-control-allow-origin"] == ORIGIN["origin"]
            assert answer.headers["access-control-allow-headers"] == "authorization,content-type"
            assert "POST" in answer.headers["access-control-allow-methods"]
        answers = [
            await served.http.post(path, json=ASKED, headers=ORIGIN),
            await served.http.get("/v1/models", headers=ORIGIN),
            await served.http.post(path, content=b"{", headers=ORIGIN),
            await served.http.post(path, content=b"x" * 2_000_000, headers=ORIGIN),
        ]
        assert [answer.status_code for answer in answers] == [200, 200, 400, 413]
        for answer in answers:
            assert answer.headers.get_list("access-control-allow-origin") == [ORIGIN["origin"]]
            assert answer.headers["access-control-expose-headers"] == "*"
            assert answer.headers["vary"] == "origin"
        other = {"origin": "https://evil.example"}
        refused = await served.http.post(path, json=ASKED, headers=other)
        assert refused.status_code == 403
        assert "access-control-allow-origin" not in refused.headers
        assert (await served.http.options(path, headers=other | PREFLIGHT)).status_code in (403, 405)
        unload = await served.http.post("/admin/models/one/unload", headers=ORIGIN)
        assert unload.json()["error"]["code"] == "not_the_operator", "a page may ask models, and no more"
        assert "access-control-allow-origin" not in (await served.http.post(path, json=ASKED)).headers

    play(tmp_path, [fake("one")], closed)
    play(tmp_path, [fake("one")], opened, cors_origins="https://chat.example.org, https://b.example",
         max_body_bytes=1_000_000)  # fmt: skip


def test_a_page_that_lacks_the_key_can_read_that_it_does(tmp_path):
    keys.create(tmp_path / "keys.json", "anna")

    async def story(served: Served) -> None:
        assert (await served.http.options("/v1/models", headers=ORIGIN | PREFLIGHT)).status_code == 204
        refused = await served.http.post("/v1/chat/completions", json=ASKED, headers=ORIGIN)
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == "*"

    play(tmp_path, [fake("one")], story, cors_origins=["*"])
