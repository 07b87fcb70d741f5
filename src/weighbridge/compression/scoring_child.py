"""The process that gives one model's scores for every token of a text, by llama.cpp's C interface in the wheel.

It is run by path. A line of JSON comes in, a line of JSON goes out; scores go into memory that is shared with whoever
asks. It ends when its input closes, and an assertion of the engine ends it alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import mmap
import os
import queue
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from weighbridge.fit.asking_child import TYPES, Engine
else:
    # By its path: the package around it would take a quarter of a second to import.
    sys.path.append(str(Path(__file__).resolve().parents[1] / "fit"))
    from asking_child import TYPES, Engine

VERSION = "xllamacpp 2026.10.11549"
"""The only version whose structures are known to be as they are declared."""
_POINTER, _FLAG, _INT, _COUNT = ctypes.c_void_p, ctypes.c_bool, ctypes.c_int32, ctypes.c_uint32
_FLOAT_BYTES = 4


class Batch(ctypes.Structure):
    """llama.h, struct llama_batch."""

    _fields_ = (
        ("n_tokens", _INT),
        ("token", ctypes.POINTER(_INT)),
        ("embd", _POINTER),
        ("pos", ctypes.POINTER(_INT)),
        ("n_seq_id", ctypes.POINTER(_INT)),
        ("seq_id", ctypes.POINTER(ctypes.POINTER(_INT))),
        ("logits", ctypes.POINTER(ctypes.c_int8)),
    )


_ROW = ctypes.POINTER(ctypes.c_float)
_FUNCTIONS: tuple[tuple[Any, ...], ...] = (
    ("llama_n_ctx", _COUNT, _POINTER),
    ("llama_n_batch", _COUNT, _POINTER),
    ("llama_n_ubatch", _COUNT, _POINTER),
    ("llama_n_seq_max", _COUNT, _POINTER),
    ("llama_batch_init", Batch, _INT, _INT, _INT),
    ("llama_decode", _INT, _POINTER, Batch),
    ("llama_get_logits", _ROW, _POINTER),
    ("llama_get_logits_ith", _ROW, _POINTER, _INT),
    ("llama_get_memory", _POINTER, _POINTER),
    ("llama_memory_clear", None, _POINTER, _FLAG),
    ("llama_memory_seq_pos_max", _INT, _POINTER, _INT),
    ("llama_model_has_encoder", _FLAG, _POINTER),
    ("llama_model_get_vocab", _POINTER, _POINTER),
    ("llama_vocab_n_tokens", _INT, _POINTER),
    ("llama_vocab_type", ctypes.c_int, _POINTER),
    ("llama_vocab_get_text", ctypes.c_char_p, _POINTER, _INT),
    ("llama_vocab_get_attr", ctypes.c_int, _POINTER, _INT),
    ("llama_vocab_get_add_bos", _FLAG, _POINTER),
    ("llama_vocab_bos", _INT, _POINTER),
    ("llama_tokenize", _INT, _POINTER, ctypes.c_char_p, _INT, ctypes.POINTER(_INT), _INT, _FLAG, _FLAG),
    ("llama_token_to_piece", _INT, _POINTER, _INT, ctypes.c_char_p, _INT, _INT, _FLAG),
)


class Scorer(Engine):
    """A model whose scores can be had, with tests that the wheel's interface is the one that is declared here."""

    def __init__(self) -> None:
        super().__init__()
        if self.version != VERSION:
            raise RuntimeError(f"{self.version} is installed; structures are known of {VERSION} alone")
        for name, answer, *arguments in _FUNCTIONS:
            function = getattr(self._library, name)
            function.restype, function.argtypes = answer, arguments
        self._context: Any = None
        self._vocabulary: Any = None
        self._past = 0

    def load(self, asked: dict[str, Any]) -> None:
        """Load the model, make a context for one sequence, and test the interface on them.

        ValueError quotes why the engine refuses; RuntimeError names what is not as declared.
        """
        library, self._lines[:] = self._library, []
        model = library.llama_model_load_from_file(os.fsencode(asked["path"]), library.llama_model_default_params())
        if not model:
            raise ValueError(self._log() or "the engine refused the file without a word")
        if library.llama_model_has_encoder(model):
            raise ValueError("it has an encoder: its scores are not those of a text that is read from left to right")
        self._lines.clear()
        self._context = library.llama_init_from_model(model, self._settings(asked))
        if not self._context:
            raise ValueError(self._log() or "the engine refused the settings without a word")
        self._vocabulary = library.llama_model_get_vocab(model)
        self.vocabulary_size = int(library.llama_vocab_n_tokens(self._vocabulary))
        if not library.llama_get_memory(self._context):
            raise ValueError("it keeps nothing of what it has read, so it does not read from left to right")
        self._test_context(asked)
        self._batch = self._tested_batch(asked["rows"])
        self._test_scores()

    def _settings(self, asked: dict[str, Any]) -> Any:
        """As the server is asked to run a model, but that every token's scores are wanted."""
        params = self._library.llama_context_default_params()
        params.n_ctx = asked["context_tokens"]
        params.n_batch = params.n_ubatch = params.n_outputs_max = params.n_outputs_max_per_seq = asked["rows"]
        params.n_seq_max, params.flash_attn_type, params.swa_full = 1, 1, False
        params.n_threads = params.n_threads_batch = asked["threads"]
        params.type_k, params.type_v = TYPES[asked["cache_type_k"]], TYPES[asked["cache_type_v"]]
        return params

    def _log(self) -> str:
        return "".join(self._lines)[-2000:]

    def _test_context(self, asked: dict[str, Any]) -> None:
        """What was written into the structure must be what the engine read out of it."""
        library, context = self._library, self._context
        told = {
            "n_batch": (library.llama_n_batch(context), asked["rows"]),
            "n_ubatch": (library.llama_n_ubatch(context), asked["rows"]),
            "n_seq_max": (library.llama_n_seq_max(context), 1),
            "n_ctx": (library.llama_n_ctx(context) >= asked["context_tokens"], True),
        }
        if wrong := [f"{name} is {found}, not {wanted}" for name, (found, wanted) in told.items() if found != wanted]:
            raise RuntimeError(f"{self.version}: settings do not arrive: {', '.join(wrong)}")
        # The log names the cache's types, where the model has such a cache.
        log = "".join(self._lines)
        for letter, name in (("K", asked["cache_type_k"]), ("V", asked["cache_type_v"])):
            if f"{letter} (" in log and f"{letter} ({name})" not in log:
                raise RuntimeError(f"{self.version}: the cache's {letter} is not of the type {name} that was asked for")

    def _tested_batch(self, rows: int) -> Batch:
        """A batch of the engine's own making; each of its fields must be where it is declared (llama_batch_init)."""
        batch: Batch = self._library.llama_batch_init(rows, 0, 1)
        given = (batch.token, batch.pos, batch.n_seq_id, batch.seq_id, batch.logits)
        # The list of sequences ends with a null pointer.
        if batch.n_tokens or batch.embd or not all(given) or batch.seq_id[rows] or not all(batch.seq_id[:rows]):
            raise RuntimeError(f"{self.version}: llama_batch is not as declared")
        return batch

    def _test_scores(self) -> None:
        """Two tokens at once: two rows of finite scores, one behind the other, and two positions that are filled."""
        library, size = self._library, self.vocabulary_size
        self._decode([0, min(1, size - 1)], fresh=True)
        first, second = (library.llama_get_logits_ith(self._context, index) for index in (0, 1))
        start = ctypes.addressof(library.llama_get_logits(self._context).contents)
        apart = [ctypes.addressof(row.contents) - start for row in (first, second)]
        if apart != [0, size * _FLOAT_BYTES]:
            raise RuntimeError(f"{self.version}: rows of scores lie at {apart}, not {size} numbers apart")
        for row in (first, second):
            values = row[:size]
            if not all(abs(value) < 1e30 for value in values):
                raise ValueError("the model's scores are no finite numbers")
        last = library.llama_memory_seq_pos_max(library.llama_get_memory(self._context), 0)
        if last != 1:
            raise RuntimeError(f"{self.version}: after two tokens the last position is {last}, not 1")

    def _decode(self, tokens: list[int], *, fresh: bool) -> None:
        if fresh:
            self._library.llama_memory_clear(self._library.llama_get_memory(self._context), True)
            self._past = 0
        batch = self._batch
        batch.n_tokens = len(tokens)
        for index, token in enumerate(tokens):
            batch.token[index], batch.pos[index] = token, self._past + index
            batch.n_seq_id[index], batch.seq_id[index][0], batch.logits[index] = 1, 0, 1
        code = self._library.llama_decode(self._context, batch)
        if code:
            raise ValueError(f"llama_decode answered {code}: {self._log()}")
        self._past += len(tokens)

    def score(self, tokens: list[int], address: int, *, fresh: bool, singly: bool) -> None:
        """Scores after each of the tokens, a row a token, to an address: in one step, or token by token (`singly`), as
        an answer is made. `fresh` forgets what came before."""
        row = self.vocabulary_size * _FLOAT_BYTES
        for group in [[token] for token in tokens] if singly else [tokens]:
            self._decode(group, fresh=fresh)
            ctypes.memmove(address, self._library.llama_get_logits(self._context), len(group) * row)
            address, fresh = address + len(group) * row, False

    def describe(self) -> dict[str, Any]:
        """What two models must have in common: a sum of every token's text and kind."""
        library, vocabulary = self._library, self._vocabulary
        added = hashlib.sha256(str(library.llama_vocab_type(vocabulary)).encode())
        for token in range(self.vocabulary_size):
            added.update(self._text(token) + b"\0%d\0" % library.llama_vocab_get_attr(vocabulary, token))
        begins = library.llama_vocab_get_add_bos(vocabulary)
        return {
            "vocabulary_size": self.vocabulary_size,
            "vocabulary_sum": added.hexdigest(),
            "begin": [library.llama_vocab_bos(vocabulary)] if begins else [],
            "version": self.version,
        }

    def _text(self, token: int) -> bytes:
        return self._library.llama_vocab_get_text(self._vocabulary, token) or b""

    def texts(self) -> list[str]:
        """Every token's text as the file has it."""
        return [self._text(token).decode(errors="replace") for token in range(self.vocabulary_size)]

    def tokenize(self, text: str) -> list[int]:
        """The text's tokens; markers in it are plain text."""
        raw = text.encode()
        room = len(raw) + 16
        tokens = (_INT * room)()
        count = self._library.llama_tokenize(self._vocabulary, raw, len(raw), tokens, room, False, False)
        if count < 0:
            raise ValueError(f"the text could not be made tokens: llama_tokenize answered {count}")
        return list(tokens[:count])

    def pieces(self, tokens: list[int]) -> list[str]:
        """The bytes that each token stands for, as hexadecimal digits."""
        found = []
        for token in tokens:
            room = ctypes.create_string_buffer(1024)
            length = self._library.llama_token_to_piece(self._vocabulary, token, room, len(room), 0, True)
            found.append(room.raw[: max(0, length)].hex())
        return found


def _answer(scorer: Scorer, asked: dict[str, Any], shared: int, slot_bytes: int) -> dict[str, Any]:
    """What one request is answered."""
    what = asked["do"]
    if what == "score":
        begun, used = time.perf_counter(), time.process_time()
        address = shared + asked["slot"] * slot_bytes
        scorer.score(asked["tokens"], address, fresh=asked["fresh"], singly=asked["singly"])
        return {"seconds": time.perf_counter() - begun, "cpu_seconds": time.process_time() - used}
    if what == "tokenize":
        return {"tokens": scorer.tokenize(asked["text"])}
    if what == "pieces":
        return {"pieces": scorer.pieces(asked["tokens"])}
    return {"texts": scorer.texts()}


def _limit_memory(most_bytes: int) -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (most_bytes, most_bytes))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _requests() -> queue.SimpleQueue[dict[str, Any]]:
    """What is asked, read by a thread, so that this process ends at once when its input closes, in mid-step too."""
    lines: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            lines.put(json.loads(line))
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    return lines


def main() -> None:
    """Load, then answer until the input closes."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def tell(**answer: object) -> None:
        print(json.dumps(answer), file=answers, flush=True)

    requests = _requests()
    asked = requests.get()
    _limit_memory(asked["most_bytes"])
    try:
        scorer = Scorer()
        scorer.load(asked)
        tell(**scorer.describe())
        slot_bytes = asked["rows"] * scorer.vocabulary_size * _FLOAT_BYTES
        memory = mmap.mmap(requests.get()["memory"], 2 * slot_bytes)
        shared = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        tell()
        while True:
            tell(**_answer(scorer, requests.get(), shared, slot_bytes))
    except (ValueError, RuntimeError, OSError, AttributeError, ImportError, MemoryError) as error:
        # Names that the wheel does not have, or has otherwise, are AttributeErrors.
        tell(
            refused=f"{type(error).__name__}: {error}"[-2000:], is_abi=isinstance(error, RuntimeError | AttributeError)
        )
    os._exit(0)


if __name__ == "__main__":
    main()
