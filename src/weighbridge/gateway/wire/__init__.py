"""HTTP/1.1 on both sides of the gateway, lean: clients to a handler or an ASGI application, engines kept connected.

`serve` answers clients: a route decides by the head who answers, `Work` answers from callbacks, without a task for each
request. `Upstream` speaks to one engine, and a `Relay` passes its answer on as it comes.
"""

from .asgi import ClientLeft
from .body import Body
from .connection import Response, header_lines
from .cors import Cors
from .folding import Folding
from .form import Form
from .heads import AnswerHead, Request, read_plain_request
from .limits import Limits, UpstreamLimits
from .quick import Line, usage_of
from .relay import Outcome, Relay
from .server import Refused, Route, Server, Work, listen_tcp, listen_unix, load_certificate, serve, share, tls_context
from .upstream import Exchange, Failure, Receiver, Upstream

__all__ = [
    "AnswerHead",
    "Body",
    "ClientLeft",
    "Cors",
    "Exchange",
    "Failure",
    "Folding",
    "Form",
    "Limits",
    "Line",
    "Outcome",
    "Receiver",
    "Refused",
    "Relay",
    "Request",
    "Response",
    "Route",
    "Server",
    "Upstream",
    "UpstreamLimits",
    "Work",
    "header_lines",
    "listen_tcp",
    "listen_unix",
    "load_certificate",
    "read_plain_request",
    "serve",
    "share",
    "tls_context",
    "usage_of",
]
