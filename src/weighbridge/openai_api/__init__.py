"""The wire: OpenAI's error object, what a request says, and one asynchronous client."""

from .client import Client, Reply
from .errors import ApiError, gateway_fault
from .exchange import HttpAnswer, Unreachable, ask, client_tls, first_certificate
from .parsing import AnswerParser
from .request import AUTO, Request, check_messages, prompt_of
from .stream import is_done, usage_of

__all__ = [
    "AUTO",
    "AnswerParser",
    "ApiError",
    "Client",
    "HttpAnswer",
    "Reply",
    "Request",
    "Unreachable",
    "ask",
    "check_messages",
    "client_tls",
    "first_certificate",
    "gateway_fault",
    "is_done",
    "prompt_of",
    "usage_of",
]
