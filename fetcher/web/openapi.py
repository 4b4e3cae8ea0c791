"""The JSON API's own description (OpenAPI 3.1)."""

from __future__ import annotations

from fetcher import __version__
from fetcher.register.form import FIELDS

# A part of the document: an object of OpenAPI or JSON Schema, which have keys of many kinds.
Schema = dict[str, object]

_ERROR: Schema = {
    "type": "object",
    "properties": {"error": {"type": "string"}},
    "required": ["error"],
}


def _answer(description: str, schema: Schema | None = None) -> Schema:
    content = {"application/json": {"schema": schema or {"type": "object"}}}
    return {"description": description, "content": content}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _operation(summary: str, answers: Schema, *, writes: bool = False, **more: object) -> Schema:
    refused = {
        "401": _answer("a token is needed", _ref("Error")),
        "403": _answer("the right `upload` is needed, or the server is read-only", _ref("Error")),
    }
    security: Schema = {"security": [{"token": []}]} if writes else {}
    return {"summary": summary, "responses": {**answers, **(refused if writes else {})}, **security,
            **more}  # fmt: skip


def _path(*names: str) -> list[Schema]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in names
    ]


def _query(*names: str) -> list[Schema]:
    return [{"name": name, "in": "query", "schema": {"type": "string"}} for name in names]


def _body(schema: Schema) -> Schema:
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def document(base: str) -> Schema:
    """The whole description; `base` is what clients reach the server by."""
    missing = {"404": _answer("there is none, or not for this token", _ref("Error"))}
    model = _answer("the artifact with its files", _ref("Model"))
    job = _answer("the verification", _ref("Job"))
    single = {"summary": "By id or alias, where only one artifact has it"}
    paths: Schema = {
        "/models": {"get": _operation("Models and the runtime's chain",
                                      {"200": _answer("models", _ref("Runtime"))})},
        "/status": {"get": _operation("What is held", {"200": _answer("numbers")})},
        "/-/api/models": {
            "get": _operation(
                "Artifacts that fit the filters",
                {"200": _answer("artifacts", _ref("Models"))},
                parameters=_query("q", "task", "framework", "tag", "owner", "gated", "state",
                                  "limit", "offset"),
            ),
            "post": _operation(
                "Register a model or dataset",
                {"201": _answer("registered", _ref("Registered")),
                 "400": _answer("the body is no JSON", _ref("Error")),
                 **missing,
                 "200": _answer("what would be written (dry_run=true)", _ref("Registered")),
                 "415": _answer("the body is not application/json", _ref("Error")),
                 "422": _answer("mistakes by field", _ref("Mistakes"))},
                writes=True, requestBody=_body(_ref("Registration")),
                parameters=_query("dry_run"),
            ),
        },
        "/-/api/models/{manifest}/{id}": {
            "parameters": _path("manifest", "id"),
            "get": _operation("One artifact", {"200": model, **missing}),
        },
        "/-/api/models/{id}": {
            **single,
            "parameters": _path("id"),
            "get": _operation("One artifact", {"200": model, **missing}),
        },
        "/-/api/models/{manifest}/{id}/verify": {
            "parameters": _path("manifest", "id"),
            "post": _operation("Start fetch verify", {"202": job, **missing}, writes=True),
        },
        "/-/api/models/{id}/verify": {
            **single,
            "parameters": _path("id"),
            "post": _operation("Start fetch verify", {"202": job, **missing}, writes=True),
        },
        "/-/api/jobs/{id}": {
            "parameters": _path("id"),
            "get": _operation("How a verification goes", {"200": job, **missing}),
        },
        "/-/api/form": {"get": _operation("The form's fields", {"200": _answer("fields")})},
        "/-/api/propose-id": {
            "get": _operation("An id for a name",
                              {"200": _answer("the id"),
                               "422": _answer("there is no such manifest", _ref("Error"))},
                              writes=True,
                              parameters=_query("name", "manifest")),
        },
        "/-/api/uploads": {
            "post": _operation(
                "Begin an upload",
                {"201": _answer("the upload", _ref("Upload")),
                 "400": _answer("the body is no JSON", _ref("Error")),
                 "415": _answer("the body is not application/json", _ref("Error")),
                 "422": _answer("no plain file name, or no size", _ref("Error"))},
                writes=True,
                requestBody=_body({"type": "object", "required": ["name", "size"], "properties": {
                    "name": {"type": "string"}, "size": {"type": "integer", "minimum": 1}}}),
            ),
        },
        "/-/api/uploads/{id}": {
            "parameters": _path("id"),
            "get": _operation("What has been received",
                              {"200": _answer("the upload", _ref("Upload")), **missing},
                              writes=True),
            "post": _operation(
                "Send the part that begins at `offset`",
                {"200": _answer("the upload", _ref("Upload")), **missing,
                 "400": _answer("no `offset`", _ref("Error")),
                 "409": _answer("the offset is not what has been received", _ref("Error"))},
                writes=True, parameters=_query("offset"),
                requestBody={"required": True, "content": {"application/octet-stream": {}}},
            ),
        },
    }  # fmt: skip
    return {
        "openapi": "3.1.0",
        "info": {"title": "fetch: the catalog", "version": __version__},
        "servers": [{"url": base or "/"}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(),
        },
    }


def _object(required: list[str], **properties: object) -> Schema:
    return {"type": "object", "properties": properties, "required": required}


def _schemas() -> Schema:
    text, number = {"type": "string"}, {"type": "number"}
    whole, truth = {"type": "integer"}, {"type": "boolean"}
    texts = {"type": "array", "items": text}
    maybe = {"type": ["string", "null"]}
    file = _object(["path"], path=text, size={"type": ["integer", "null"]}, sha256=maybe,
                   targets=texts)  # fmt: skip
    card = {
        "id": text, "manifest": text, "name": text, "source": text, "revision": maybe,
        "state": {"enum": ["complete", "partial", "missing", "modified", "conflict"]},
        "held": truth, "gated": truth, "bytes": whole, "record": {"type": "object"},
        "verified": {"type": ["object", "null"]},
    }  # fmt: skip
    fields = {item.key: item.type.json_schema() for item in FIELDS if "." not in item.key}
    return {
        "Error": _ERROR,
        "Mistakes": _object(["errors"], errors={"type": "object", "additionalProperties": texts}),
        "Model": _object(list(card), **card, files={"type": "array", "items": file}),
        "Models": _object(["models", "total"], total=whole,
                          models={"type": "array", "items": _ref("Model")}),
        "Runtime": _object(["models", "current", "primary", "fallback_chain"],
                           models={"type": "object",
                                   "additionalProperties": {"type": "object", "required": ["id"]}},
                           current=maybe, primary=maybe, fallback_chain=texts),
        "Job": _object(["id", "artifact", "state"], id=text, artifact=text, seconds=number,
                       state={"enum": ["queued", "running", "passed", "failed", "skipped"]},
                       progress=texts, exit_code={"type": ["integer", "null"]},
                       report={"type": ["object", "null"]}),
        "Upload": _object(["id", "name", "size", "received", "path"], id=text, name=text,
                          size=whole, received=whole, path=text),
        "Registered": _object(["id", "manifest", "diff", "written"], id=text, manifest=text,
                              diff=text, written=truth, record={"type": "object"}, notes=texts),
        "Registration": _object(["name"], **fields, id=text, source=True, checkpoint=text,
                                upload=text, manifest=text, place=text),
    }  # fmt: skip
