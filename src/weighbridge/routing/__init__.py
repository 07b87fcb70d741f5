"""Which model answers a request, with the reason in words."""

from .route import Candidate, Route, route

__all__ = ["Candidate", "Route", "route"]
