"""Delta nets, and attention in each fourth layer, as in Qwen3-Next."""

from weighbridge.facts.architectures.qwen3next import complete_header as complete_header
