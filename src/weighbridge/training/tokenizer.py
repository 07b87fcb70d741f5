"""A byte-level BPE tokenizer learnt from a lane's own text; llama.cpp runs it as `gpt2` with pre-tokenizer `qwen2`.

Every text can be encoded, since all 256 bytes are tokens; each digit is a token of its own, so that numbers are seen
digit by digit.
"""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from weighbridge.errors import TrainingFailed

USER, ASSISTANT, SYSTEM, END = MARKERS = ("<|user|>", "<|assistant|>", "<|system|>", "<|end|>")
# Working stands between these; they are text that a client may see, so no control tokens.
THINK, THINK_END = ("<think>", "</think>")
ADDED = (*MARKERS, THINK, THINK_END)

# What llama.cpp does for `tokenizer.ggml.pre = "qwen2"` (llama-vocab.cpp, LLAMA_VOCAB_PRE_TYPE_QWEN2).
PRE_TOKENIZER = "qwen2"
PRE_TOKENIZER_REGEX = (
    r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{{- '<|' + message.role + '|>' -}}"
    "{%- if message.role == 'assistant' and message.reasoning_content -%}"
    "{{- '<think>' + message.reasoning_content + '</think>' -}}"
    "{%- endif -%}"
    "{{- message.content + '<|end|>' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)
PLAIN_CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{{- '<|' + message.role + '|>' + message.content + '<|end|>' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)


def learn(texts: Iterable[str], vocabulary_size: int) -> Tokenizer:
    """A tokenizer of exactly `vocabulary_size` tokens: 256 bytes, merges learnt from `texts`, the chat's markers."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PRE_TOKENIZER_REGEX), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocabulary_size - len(ADDED),
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        ),
    )
    tokenizer.add_special_tokens(list(ADDED))
    if tokenizer.get_vocab_size() != vocabulary_size:
        raise TrainingFailed(
            f"the tokenizer learnt {tokenizer.get_vocab_size()} tokens, wanted {vocabulary_size}",
            hint="give it more text, or ask for a smaller vocabulary",
        )
    return tokenizer
