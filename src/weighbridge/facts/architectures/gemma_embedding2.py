"""Nothing is kept from token to token, as with BERT."""

from weighbridge.facts.architectures.bert import complete_header as complete_header
