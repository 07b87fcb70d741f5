"""The wire: OpenAI's error object, what a request says, and one asynchronous client."""

from .client import Client, Reply
from .errors import ApiError
from .request import AUTO, Request, parse_request
from .stream import SseTail, usage_of

__all__ = ["AUTO", "ApiError", "Client", "Reply", "Request", "SseTail", "parse_request", "usage_of"]
