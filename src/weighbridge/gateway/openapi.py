"""The gateway's API as an OpenAPI 3.1 document: what it looks at itself, not what engines read."""

from __future__ import annotations

from typing import Any

from weighbridge import __version__

Json = dict[str, Any]

_TEXT: Json = {"type": "string"}
_COUNT: Json = {"type": "integer", "minimum": 0}
_POSITIVE: Json = {"type": "integer", "minimum": 1}
_FLAG: Json = {"type": "boolean"}
_ANY_OBJECT: Json = {"type": "object"}


def _maybe(schema: Json) -> Json:
    return {"anyOf": [schema, {"type": "null"}]}


def _list(of: Json, **more: Any) -> Json:
    return {"type": "array", "items": of, **more}


def _object(required: str = "", **properties: Json) -> Json:
    return {"type": "object", "properties": properties, "required": required.split()}


def _named(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


_MODEL: Json = {
    "type": "string", "minLength": 1,
    "description": "The name of a model or a policy; with `auto`, or where there is none, the router chooses.",
    "examples": ["auto"],
}  # fmt: skip
_TOOL = _object(
    "type function", type={"const": "function"}, function=_object("name", name=_TEXT, parameters=_ANY_OBJECT)
)
_MESSAGE = _object("role", role=_TEXT, content={"anyOf": [_TEXT, _list(_ANY_OBJECT), {"type": "null"}]})
_ASKING: Json = {"model": _MODEL, "stream": _FLAG, "temperature": {"type": "number", "minimum": 0, "maximum": 2}}
# One event of a stream, by its lines.
_EVENT = _object("data", event=_TEXT, data=_TEXT)
_CHOICES: Json = {"type": "integer", "minimum": 1, "maximum": 128, "default": 1}


def _requests() -> Json:
    usage_in_stream = _object(include_usage=_FLAG)
    prompt = {"anyOf": [_TEXT, _list(_TEXT, minItems=1), _list(_COUNT, minItems=1)]}
    return {
        "ChatRequest": _object(
            "messages", **_ASKING, messages=_list(_MESSAGE, minItems=1), max_tokens=_POSITIVE,
            max_completion_tokens=_POSITIVE, n=_CHOICES, seed=_COUNT, stop={"anyOf": [_TEXT, _list(_TEXT)]},
            stream_options=usage_in_stream, tools=_list(_TOOL), parallel_tool_calls=_FLAG,
            tool_choice={"enum": ["auto", "none", "required"],
                         "description": "Or an object that names a function, which is then called."},
            response_format=_object("type", type={"enum": ["text", "json_object", "json_schema"]}),
            logprobs=_FLAG, top_logprobs={"type": "integer", "minimum": 0, "maximum": 20},
        ),
        "CompletionRequest": _object(
            "prompt", **_ASKING, prompt=prompt, max_tokens=_POSITIVE, n=_CHOICES, stream_options=usage_in_stream
        ),
        "EmbeddingRequest": _object("input", model=_MODEL, input=prompt),
        "MessagesRequest": _object(
            "messages max_tokens", **_ASKING, max_tokens=_POSITIVE, stop_sequences=_list(_TEXT), top_k=_COUNT,
            messages=_list(_object("role content", role={"enum": ["user", "assistant"]}, content=_TEXT), minItems=1),
            system=_TEXT, tools=_list(_object("name input_schema", name=_TEXT, input_schema=_ANY_OBJECT)),
        ),
        "CountRequest": _object(
            "messages", model=_MODEL, system=_TEXT,
            messages=_list(_object("role content", role={"enum": ["user", "assistant"]}, content=_TEXT), minItems=1),
        ),
        "ResponseRequest": _object(
            "input", **_ASKING, input={"anyOf": [_TEXT, _list(_object("role content", role={"enum": ["user", "system"]},
                                                                     content=_TEXT), minItems=1)]},
            instructions=_TEXT, max_output_tokens=_POSITIVE, parallel_tool_calls=_FLAG,
        ),
        "RerankRequest": _object("query documents", model=_MODEL, query=_TEXT, documents=_list(_TEXT)),
        "TokenizeRequest": _object("content", model=_MODEL, content=_TEXT),
        "FeedbackRequest": _object(
            "request_id", request_id=_TEXT, score={"type": "number", "minimum": 0, "maximum": 1},
            thumb={"enum": ["up", "down"]}, correct_model=_TEXT, comment=_TEXT,
        ),
        "DetokenizeRequest": _object("tokens", model=_MODEL, tokens=_list(_COUNT)),
    }  # fmt: skip


def _answers() -> Json:
    choice = _object("index", index=_COUNT, finish_reason=_maybe(_TEXT), message=_ANY_OBJECT, text=_TEXT)
    source = {"enum": ["gateway", "router", "engine"], "description": "Who failed."}
    told = {"message": _TEXT, "code": _maybe(_TEXT), "source": source}
    phases = {"enum": ["stopped", "starting", "ready", "stopping", "failed"]}
    return {
        "Completion": _object("choices", id=_TEXT, model=_TEXT, choices=_list(choice), usage=_ANY_OBJECT),
        "Embeddings": _object("data", data=_list(_object("embedding", embedding={}))),
        "Message": _object(
            "type role content stop_reason usage", type={"const": "message"}, role={"const": "assistant"},
            content=_list(_object("type", type=_TEXT)), stop_reason=_maybe(_TEXT),
            usage=_object("input_tokens output_tokens", input_tokens=_COUNT, output_tokens=_COUNT),
        ),
        "Count": _object("input_tokens", input_tokens=_COUNT),
        "Response": _object(
            "id object status output", id=_TEXT, object={"const": "response"},
            status={"enum": ["completed", "incomplete", "failed", "in_progress"]},
            output=_list(_object("type", type=_TEXT)), usage=_maybe(_ANY_OBJECT),
        ),
        "Anything": _ANY_OBJECT,
        "Feedback": _object("object request_id model score", object={"const": "feedback"}, request_id=_TEXT,
                            model=_TEXT, score={"type": "number"}),
        # An engine's own words pass, and may lack what ours have.
        "Error": _object("error", error=_object("message", **told, type=_maybe(_TEXT), param=_maybe(_TEXT))),
        "AnthropicError": _object(
            "type error", type={"const": "error"}, error=_object("type message", type=_TEXT, **told), request_id=_TEXT
        ),
        "Models": _object(
            "object data", object={"const": "list"},
            data=_list({"$ref": "#/components/schemas/Model"}),
        ),
        "Model": _object("id object", id=_TEXT, object={"const": "model"}),
        "Health": _object(
            "status version models", version=_TEXT, status={"enum": ["starting", "ok", "idle", "failed"]},
            models={"type": "object", "additionalProperties": phases},
        ),
        "Status": _object("pid memory models", pid=_POSITIVE, memory=_ANY_OBJECT, models=_list(_ANY_OBJECT)),
        "State": _object("name state", name=_TEXT, state=phases),
    }  # fmt: skip


def _json(name: str) -> Json:
    return {"application/json": {"schema": _named(name)}}


_NAMING: Json = {"x-request-id": {"schema": _TEXT, "description": "Names the request, in the ledger too."}}


def _refusals(error: str) -> Json:
    return {
        status: {"description": meaning, "headers": _NAMING, "content": _json(error)}
        for status, meaning in (("4XX", "The request is refused."), ("5XX", "The gateway or an engine failed."))
    }


def _engine(summary: str, asks: str, answer: str, *, streams: bool = False, error: str = "Error") -> Json:
    """A path that goes to engines."""
    content = _json(answer) | ({"text/event-stream": {"schema": _EVENT}} if streams else {})
    headers = _NAMING | {
        "x-weighbridge-model": {"schema": _TEXT, "description": "Who answers."},
        "x-weighbridge-reason": {"schema": _TEXT, "description": "Why it was chosen, in words."},
    }
    return {
        "post": {
            "summary": summary,
            "tags": ["models"],
            "requestBody": {"required": True, "content": _json(asks)},
            "responses": {
                "200": {"description": "The engine's answer.", "headers": headers, "content": content},
                **_refusals(error),
            },
        }
    }


def _page(summary: str, answer: str, method: str = "get", *, named: bool = False, asks: str = "") -> Json:
    """A page of the gateway's own."""
    content = {"text/plain": {"schema": _TEXT}} if answer == "text" else _json(answer)
    refusals = {status: {**told, "headers": {}} for status, told in _refusals("Error").items()}
    made: Json = {
        "summary": summary,
        "tags": ["gateway"],
        "responses": {"200": {"description": summary, "content": content}, **refusals},
    }
    if asks:
        made["requestBody"] = {"required": True, "content": _json(asks)}
    if named:
        made["parameters"] = [{"name": "name", "in": "path", "required": True, "schema": {**_TEXT, "minLength": 1}}]
    return {method: made}


def document() -> Json:
    """All paths of the gateway, but for forms with files and the operator's page."""
    chat = "A chat completion (OpenAI)"
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Weighbridge",
            "version": __version__,
            "description": "Open-weight models behind OpenAI's and Anthropic's APIs. Fields that are not named here go "
            "on to the engine as they are.",
        },
        "security": [{}, {"bearer": []}, {"anthropic": []}],
        "paths": {
            "/v1/chat/completions": _engine(chat, "ChatRequest", "Completion", streams=True),
            "/v1/completions": _engine("A text continued (OpenAI)", "CompletionRequest", "Completion", streams=True),
            "/v1/embeddings": _engine("Vectors of texts (OpenAI)", "EmbeddingRequest", "Embeddings"),
            "/v1/responses": _engine("A response (OpenAI)", "ResponseRequest", "Response", streams=True),
            "/v1/messages": _engine(
                "A message (Anthropic)", "MessagesRequest", "Message", streams=True, error="AnthropicError"
            ),
            "/v1/messages/count_tokens": _engine(
                "The tokens of a prompt (Anthropic)", "CountRequest", "Count", error="AnthropicError"
            ),
            "/v1/rerank": _engine("Documents by how well they answer", "RerankRequest", "Anything"),
            "/tokenize": _engine("A text as tokens", "TokenizeRequest", "Anything"),
            "/detokenize": _engine("Tokens as a text", "DetokenizeRequest", "Anything"),
            "/v1/models": _page("The models and policies that may be asked for", "Models"),
            "/v1/models/{name}": _page("One of them", "Model", named=True),
            "/v1/feedback": _page("What a user thinks of an answer", "Feedback", "post", asks="FeedbackRequest"),
            "/health": _page("Whether the gateway answers, and where each model is in its life", "Health"),
            "/ps": _page("Models, processes, memory and requests", "Status"),
            "/metrics": _page("Prometheus' text", "text"),
            "/openapi.json": _page("This document", "Anything"),
            "/admin/reload": _page("Take the settings anew", "Anything", "post"),
            "/admin/ledger/verify": _page("Check the ledger", "Anything", "post"),
            "/admin/models/{name}/load": _page("Have a model ready", "State", "post", named=True),
            "/admin/models/{name}/unload": _page("Unload a model", "State", "post", named=True),
        },
        "components": {
            "schemas": _requests() | _answers(),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "anthropic": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
    }
