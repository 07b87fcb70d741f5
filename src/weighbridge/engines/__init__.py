"""Engines: other people's programs that answer requests, each in a process of its own, behind one small door."""

from .endpoint import Endpoint, Running
from .finding import Found
from .manner import APIS, COUNT_TOKENS, MESSAGES, RESPONSES, Manner
from .model import Model
from .records import clean_up, sockets_folder
from .self_test import self_test
from .start import able, available, choose, manner, queues, start
from .surroundings import Surroundings, log_path

__all__ = [
    "APIS",
    "COUNT_TOKENS",
    "MESSAGES",
    "RESPONSES",
    "Endpoint",
    "Found",
    "Manner",
    "Model",
    "Running",
    "Surroundings",
    "able",
    "available",
    "choose",
    "clean_up",
    "log_path",
    "manner",
    "queues",
    "self_test",
    "sockets_folder",
    "start",
]
