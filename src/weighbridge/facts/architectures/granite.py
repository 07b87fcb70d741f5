"""Granite 3, dense: Llama whose values are scaled by constants."""

from weighbridge.facts.architectures.llama import parts as parts
