"""Keys: made once, kept as sums, let in or refused at once, and never seen in a log."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import time

import httpx2 as httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import run_gateway, run_weigh
from tests.gateway.test_door import Elsewhere
from tests.gateway.test_lifecycle import Served, fake, play
from tests.gateway.wire.kit import whole
from weighbridge.errors import BadSetting, StateDamaged
from weighbridge.gateway import keys

AUTOS = ("auto", "auto:best", "auto:cascade", "auto:cheap", "auto:fast")


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"} if secret else {}


async def asked(served: Served, secret: str, model: str = "one"):
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 2}
    return await served.http.post("/v1/chat/completions", json=body, headers=bearer(secret))


def test_a_key_is_kept_as_a_sum_and_its_file_is_its_owners_alone(tmp_path):
    path = tmp_path / "state" / "keys.json"
    key, secret = keys.create(path, "anna", models=("one",), requests_per_minute=5)

    assert secret not in path.read_text()
    assert len(secret) > 40
    assert keys.read(path) == (key,)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(BadSetting, match="'anna' already"):
        keys.create(path, "anna")
    with pytest.raises(BadSetting, match="no key can be named"):
        keys.create(path, "a b")
    keys.revoke(path, "anna")
    assert keys.read(path) == ()
    with pytest.raises(BadSetting, match="no key is named"):
        keys.revoke(path, "anna")
    assert os.listdir(path.parent) == ["keys.json"]


GOOD = {"layout": 1, "keys": [{"name": "a", "sha256": "0" * 64, "created": 1}]}


@given(
    st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
                st.sampled_from(["layout", "keys", "name", "sha256", "created", "models", "admin", "x"]), inner
            ),
        ).map(lambda value: json.dumps(value).encode()),
        st.fixed_dictionaries(
            {"name": st.text(max_size=3) | st.none(), "sha256": st.sampled_from(["0" * 64, "zz", 7])},
            optional={"models": st.none() | st.integers() | st.lists(st.text(max_size=2)),
                      "tokens_per_day": st.floats() | st.integers(), "expires": st.text(max_size=2) | st.floats(),
                      "created": st.integers()},
        ).map(lambda row: json.dumps({"layout": 1, "keys": [row]}).encode()),
    )
)  # fmt: skip
def test_a_file_of_keys_is_read_or_refused_in_words(tmp_path_factory, raw):
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    path.write_bytes(raw)
    try:
        found = keys.read(path)
    except StateDamaged as error:
        assert str(path) in str(error)
    else:
        assert all(isinstance(key, keys.Key) for key in found)


def test_a_gateway_sees_keys_that_are_made_and_revoked_at_once_and_a_damaged_file_changes_nothing(tmp_path):
    path = tmp_path / "keys.json"

    async def story(served: Served) -> None:
        assert (await asked(served, "")).status_code == 200, "without any key this machine is served"
        _, first = keys.create(path, "first")
        _, other = keys.create(path, "other")
        await asyncio.sleep(0.25)
        assert [(await asked(served, secret)).status_code for secret in ("", "wb-wrong", first)] == [401, 401, 200]
        keys.revoke(path, "first")
        await asyncio.sleep(0.25)
        assert [(await asked(served, secret)).status_code for secret in (first, other)] == [401, 200]
        path.write_text("{")
        await asyncio.sleep(0.25)
        assert (await asked(served, other)).status_code == 200
        assert any("the keys stay as they were" in line for line in served.told)

    play(tmp_path, [fake("one")], story)


def test_a_key_that_is_over_is_refused_and_its_last_use_is_kept(tmp_path):
    path = tmp_path / "keys.json"
    _, over = keys.create(path, "over", expires=time.time() - 1)
    good, secret = keys.create(path, "good", expires=time.time() + 3600)

    async def story(served: Served) -> None:
        refused = await asked(served, over)
        assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")
        assert "has expired" in refused.json()["error"]["message"]
        assert (await asked(served, secret)).status_code == 200

    play(tmp_path, [fake("one")], story)
    used = keys.uses(tmp_path)
    assert used.keys() == {good.id}
    assert abs(used[good.id].used_at - time.time()) < 60


def test_the_gateway_itself_is_its_operators_alone(tmp_path):
    path = tmp_path / "keys.json"
    _, secret = keys.create(path, "anna")
    _, admin = keys.create(path, "boss", admin=True)

    async def story(served: Served) -> None:
        for page in ("/ps", "/metrics"):
            statuses = [
                (await served.http.get(page, headers=bearer(each))).status_code
                for each in ("", secret, admin, "s3cret")
            ]
            assert statuses == [401, 403, 200, 200], page
        path = "/admin/models/one/unload"
        refused = await served.http.post(path, headers=bearer(secret))
        assert refused.json()["error"]["code"] == "not_the_operator"
        assert (await served.http.post(path, headers=bearer(admin))).status_code == 200
        assert (await served.http.get("/v1/models", headers=bearer(secret))).status_code == 200
        assert (await served.http.get("/health")).status_code == 200

    play(tmp_path, [fake("one")], story, api_key="s3cret")


def test_a_key_asks_for_its_models_alone_and_auto_chooses_among_them(tmp_path):
    path = tmp_path / "keys.json"
    listed, policy, mixed = (
        keys.create(path, name, models=models)[1]
        for name, models in (("l", ("two", "three")), ("p", ("auto",)), ("m", ("auto:fast", "two")))
    )

    async def story(served: Served) -> None:
        async def who(secret: str, model: str) -> str:
            answer = await asked(served, secret, model)
            if answer.status_code == 200:
                return answer.headers["x-weighbridge-model"]
            assert answer.status_code == 404, answer.text
            assert answer.json()["error"]["code"] == "model_not_found"
            return answer.json()["error"]["message"]

        async def models(secret: str) -> list[str]:
            return [each["id"] for each in (await served.http.get("/v1/models", headers=bearer(secret))).json()["data"]]

        assert [await who(listed, "two"), await who(listed, "auto")] == ["two", "two"]
        refused = await who(listed, "one")
        assert "'one' does not exist or you do not have access to it. There are: auto, auto:best, " in refused
        assert refused.endswith(", two, three.")
        assert (await who(listed, "nobody")).replace("nobody", "one") == refused, "what others use is not told"
        assert set(await models(listed)) == {*AUTOS, "two", "three"}
        assert await who(policy, "auto") in ("one", "two", "three")
        assert "do not have access" in await who(policy, "one")
        assert await models(policy) == ["auto"]
        assert "do not have access" in await who(mixed, "auto")
        assert await who(mixed, "two") == "two"
        assert await models(mixed) == ["auto:fast", "two"]
        assert await who(mixed, "auto:fast") == "two"
        assert set(await models("s3cret")) == {*AUTOS, "one", "two", "three"}

    play(tmp_path, [fake("one"), fake("two"), fake("three")], story, api_key="s3cret")


def test_beyond_this_machine_a_key_of_either_sort_is_needed(tmp_path):
    path = tmp_path / "keys.json"
    keys.create(path, "over", expires=time.time() - 1)

    async def story(served: Served) -> None:
        assert (await served.http.post("/v1/chat/completions", json={"model": "one"})).status_code == 401

    with pytest.raises(BadSetting, match="no key that is good"):
        play(tmp_path, [fake("one")], story, host="0.0.0.0")
    _, secret = keys.create(path, "good")

    async def revoked(served: Served) -> None:
        assert (await asked(served, secret)).status_code == 200
        keys.revoke(path, "good")
        keys.revoke(path, "over")
        await asyncio.sleep(0.25)
        assert [(await asked(served, each)).status_code for each in (secret, "")] == [401, 401]

    play(tmp_path, [fake("one")], revoked, host="0.0.0.0")


def test_the_command_makes_lists_and_revokes(tmp_path):
    env = {"WEIGHBRIDGE_STATE_DIR": str(tmp_path), "COLUMNS": "100"}
    made = run_weigh("key", "create", "anna", "--models", "coder, auto:fast", "--tokens-per-day", "5000", "--expires",
                     "90d", **env)  # fmt: skip
    secret = made.stdout.strip()
    assert (made.returncode, secret[:3]) == (0, "wb-")
    assert "the only time" in made.stderr
    listed = run_weigh("key", "list", **env)
    assert secret not in listed.stdout + listed.stderr
    assert "anna" in listed.stdout
    assert "5,000 tok/day" in listed.stdout
    (row,) = json.loads(run_weigh("key", "list", "--json", **env).stdout)["keys"]
    assert (row["name"], row["models"], row["last_used"]) == ("anna", ["coder", "auto:fast"], None)
    assert run_weigh("key", "rm", "anna", **env).returncode == 0
    assert json.loads(run_weigh("key", "list", "--json", **env).stdout) == {"keys": []}
    failed = run_weigh("key", "revoke", "anna", **env)
    assert (failed.returncode, "no key is named 'anna'" in failed.stderr) == (1, True)
    assert run_weigh("key", "create", "bob", "--expires", "soon", **env).returncode == 1


def test_no_secret_is_in_a_log_an_error_or_a_file(tmp_path):
    _, made = keys.create(tmp_path / "keys.json", "anna", requests_per_minute=20)
    secrets = {"operator": "op-5ecret-5ecret", "made": made, "wrong": "wb-wr0ng-wr0ng", "far": "far-5ecret-5ecret"}

    async def echoes(reader, writer):
        # Some servers repeat the key that they refuse.
        writer.write(whole(json.dumps({"error": {"message": f"Bad key: {secrets['far']}"}}).encode(), 500))

    far = Elsewhere(echoes)
    seen: list[str] = []

    async def story() -> None:
        async with far:
            running = run_gateway(
                tmp_path, "fake", "bad=fake:status=500", f"far=http://127.0.0.1:{far.port}", "dead=http://127.0.0.1:1",
                WEIGHBRIDGE_API_KEY=secrets["operator"], WEIGHBRIDGE_REMOTE_API_KEY=secrets["far"],
            )  # fmt: skip
            # Beside this loop, which answers for the server elsewhere.
            url = (await asyncio.to_thread(running.__enter__)).url
            try:
                async with httpx.AsyncClient(base_url=url, timeout=30) as http:
                    await visit(http)
                reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
                writer.write(b"GET / HTTP/1.1\r\nauthorization: Bearer %b\r\nx\r\n\r\n" % made.encode())
                seen.append((await reader.read()).decode())
                writer.close()
            finally:
                await asyncio.to_thread(running.__exit__, None, None, None)

    async def visit(http: httpx.AsyncClient) -> None:
        for secret in (secrets["operator"], made, secrets["wrong"]):
            for model in ("fake", "bad", "far", "dead", "nobody"):
                for headers in (bearer(secret), {"x-api-key": secret}, {"authorization": f"Basic {secret}"}):
                    body = {"model": model, "messages": [{"role": "user", "content": "x"}]}
                    answer = await http.post(f"/v1/chat/completions?api_key={secret}", json=body, headers=headers)
                    seen.append(answer.text + str(answer.headers))
            for page in (f"/nowhere?key={secret}", "/ps", "/metrics"):
                seen.append((await http.get(page, headers=bearer(secret))).text)

    asyncio.run(story())
    for file in tmp_path.rglob("*"):
        if file.is_file():
            seen.append(file.read_bytes().decode("latin-1"))
    assert (tmp_path / "stderr.txt").read_text()
    for name, secret in secrets.items():
        assert not any(secret in text for text in seen), name
