"""What is known of models beside what their files say: whom a name means, and each value with its source and day."""

from .fact import Fact, Row, Served, Subject
from .knowledge import Knowledge
from .names import sizes_in, words_of_name

__all__ = ["Fact", "Knowledge", "Row", "Served", "Subject", "sizes_in", "words_of_name"]
