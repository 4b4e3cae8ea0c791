"""The JSON API: what it says, who may call it, and that the Hub's addresses stay the Hub's."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from tests.json_schemas import validate
from tests.server.kit import bearer, fetch
from tests.web.kit import OTHER, READER, WRITER, Make, Place, words_of


def _schema(place: Place, name: str) -> dict[str, Any]:
    described = place.mirror.ask("/-/api/openapi.json").json()
    return {"$ref": f"#/components/schemas/{name}", "components": described["components"]}


def test_the_description_is_sound_and_answers_fit_it(place: Place) -> None:
    described = place.mirror.ask("/-/api/openapi.json").json()
    assert described["openapi"].startswith("3.1") and described["servers"][0]["url"]
    refs = set(re.findall(r"#/components/schemas/(\w+)", str(described)))
    assert refs <= described["components"]["schemas"].keys()
    for path, methods in described["paths"].items():
        holes = set(re.findall(r"{(\w+)}", path))
        named = {p["name"] for p in methods.get("parameters", ()) if p["in"] == "path"}
        assert holes == named, path
    for name in ("demo/vqgan-16", "vqgan-8", "small"):
        found = place.mirror.ask(f"/-/api/models/{name}").json()
        validate(found, _schema(place, "Model"))
    validate(place.mirror.ask("/models").json(), _schema(place, "Runtime"))
    listed = place.mirror.ask("/-/api/models?limit=2").json()
    assert listed["total"] == 4 and len(listed["models"]) == 2
    wrong = place.mirror.ask("/-/api/models/nothing")
    assert wrong.status == 404
    validate(wrong.json(), _schema(place, "Error"))


def test_one_artifact_by_id_alias_or_full_name(place: Place) -> None:
    full = place.mirror.ask("/-/api/models/demo/small").json()
    assert full["files"][0].keys() == {"path", "size", "sha256", "targets"}
    assert place.mirror.ask("/-/api/models/tiny").json() == full
    assert place.mirror.ask("/-/api/models/hidden").status == 404
    assert place.mirror.ask("/-/api/models/hidden", headers=bearer(READER)).status == 200


def test_the_hubs_addresses_stay_the_hubs(place: Place) -> None:
    assert [item["id"] for item in place.mirror.ask("/api/models").json()] == ["o/small"]
    assert place.mirror.ask("/api/models/o/small").json()["sha"]
    assert place.mirror.ask("/o/small/resolve/main/config.json").body == b"{}"
    assert place.mirror.ask("/models/o/small/resolve/main/config.json").body == b"{}"
    assert place.mirror.ask("/api/models/o/small", "POST", body=b"").status == 403
    assert place.mirror.ask("/api/jobs/" + "0" * 32).status == 404


def test_models_and_their_chain(writable: Make) -> None:
    place = writable()
    found = place.mirror.ask("/models").json()
    assert found["models"].keys() == {"vqgan-16", "vqgan-8", "small", "evil"}
    assert found["models"]["small"]["id"] == "o/small"
    assert found["current"] is None and found["fallback_chain"] == []
    settings = place.root / "fetch.yaml"
    settings.write_text(
        "runtime: {primary_model: small, fallback_models: [hidden, vqgan-16], "
        "enable_fallback: true}\n"
    )
    fetch(place.home, "runtime", cwd=place.root)
    found = place.mirror.ask("/models").json()
    assert found["primary"] == "small" and found["current"] == "small"
    assert found["fallback_chain"] == ["vqgan-16"]
    found = place.mirror.ask("/models", headers=bearer(READER)).json()
    assert found["fallback_chain"] == ["hidden", "vqgan-16"]
    settings.write_text("runtime: {primary_model: [}\n")
    assert place.mirror.ask("/models").status == 200
    status = place.mirror.ask("/status").json()
    assert status["artifacts"] == 4 and status["states"] == {"complete": 2, "missing": 2}
    assert place.mirror.ask("/status", "POST", body=b"").status == 405


def test_a_verification_runs_as_a_process_and_tells_how_it_goes(writable: Make) -> None:
    place = writable()
    path = "/-/api/models/demo/small/verify"
    assert place.call(path, {}).status == 401
    assert place.call(path, {}, READER).status == 403
    assert place.call("/-/api/models/nothing/verify", {}, WRITER).status == 404
    assert place.call("/-/api/models/hidden/verify", {}, OTHER).status == 404
    started = place.call("/api/models/small/verify", {}, WRITER)
    assert started.status == 202, started.body
    job = started.json()
    validate(job, _schema(place, "Job"))
    for _ in range(600):
        job = place.mirror.ask(f"/-/api/jobs/{job['id']}").json()
        if job["state"] not in {"queued", "running"}:
            break
        time.sleep(0.1)
    # It has no probe: the command says so, and the job shows it.
    assert job["state"] == "skipped", job
    assert job["report"]["results"][0]["reason"] == "it has no probe"
    assert place.mirror.ask(f"/api/jobs/{job['id']}").json()["id"] == job["id"]
    cookie = place.sign_in()
    csrf = place.csrf(cookie)
    assert place.post("/-/verify/demo/small", {"csrf": "x"}, cookie).status == 403
    answer = place.post("/-/verify/demo/small", {"csrf": csrf}, cookie)
    assert answer.status == 303
    assert "Verification of demo/small" in words_of(
        place.page(answer.headers["location"], **cookie)
    )


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/-/api/nothing"),
        ("GET", "/-/api/"),
        ("GET", "/-/api/models/a/b/c"),
        ("GET", "/-/api/models/%2e%2e/%2e%2e"),
        ("POST", "/-/api/status"),
        ("POST", "/-/api/openapi.json"),
    ],
)
def test_calls_that_there_are_not(place: Place, method: str, path: str) -> None:
    answer = place.mirror.ask(path, method, body=b"" if method == "POST" else None)
    assert answer.status == 404 and answer.json()["error"]
