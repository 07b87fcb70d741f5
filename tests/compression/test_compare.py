"""`compare()`: real models in real processes, against an independent forward pass, the server, and damage."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import xllamacpp

from tests.compression.variants import forward, remake
from tests.facts.gguf_families import FAMILIES, Engine
from tests.gguf_files import write_model
from weighbridge import facts, machine
from weighbridge.compression import Candidate, Loss, Manner, Text, compare, read_text
from weighbridge.compression.scorer import Scorer, ScorerSettings
from weighbridge.errors import BadSetting, DoesNotFit, EngineFailed
from weighbridge.fit.asking_child import ContextParams
from weighbridge.specialists import bundled

HERE = machine.describe("ram=4GiB@20GB/s,cores=2")
ROOT = Path(__file__).parents[2]
QUICK = Manner(most_tokens=1600)


def candidate(path: Path, k: str = "f16", v: str = "f16") -> Candidate:
    return Candidate(facts.read(path), path.stem, k, v)


def children() -> list[psutil.Process]:
    return [each for each in psutil.Process().children() if "scoring_child" in " ".join(each.cmdline())]


@pytest.fixture
def models(tmp_path) -> tuple[Path, Path]:
    """A small model in 32 bits, and in 4: (quant, base)."""
    base = write_model(tmp_path / "base.gguf", width=64, layers=2, seed=3)
    return remake(base, tmp_path / "quant.gguf", "Q4_0"), base


@pytest.mark.parametrize(("is_unpacked", "off"), [(True, 2e-3), (False, 0.03)])
def test_figures_are_those_of_an_independent_forward_pass(models, tmp_path, is_unpacked, off):
    """With 4-bit weights the engine rounds activations to 8 bits, which the other pass does not; with the same weights
    written out in 32 bits it rounds the cache alone."""
    quant, base = models
    if is_unpacked:
        quant = remake(quant, tmp_path / "unpacked.gguf", "F32")
    # Letters, each a token of its own: no tokenizer is needed to know them.
    letters = "".join(np.random.default_rng(1).choice(list("abcdefghijklmnopqrstuvwxyz,.;"), 700))
    found = compare(candidate(quant), candidate(base), Text(letters, "letters"), HERE, Manner(context_tokens=256))

    ids = [ord(letter) for letter in letters]  # the tokens of bytes stand in their order
    p, q, nll = [], [], ([], [])
    for start in (0, 256, 512):
        piece = ids[start : start + 257]
        for path, rows, losses in ((base, p, nll[0]), (quant, q, nll[1])):
            logs = forward(path, piece[:-1], heads=4, kv_heads=2)
            rows.append(logs)
            losses.extend(-logs[np.arange(len(piece) - 1), piece[1:]])
    p, q = np.concatenate(p), np.concatenate(q)
    kl = (np.exp(p) * (p - q)).sum(axis=1)
    assert found.positions == len(kl) == 699
    assert found.kl.value == pytest.approx(kl.mean(), rel=off)
    assert found.kl_max == pytest.approx(kl.max(), rel=4 * off)
    assert found.base.perplexity == pytest.approx(np.exp(np.mean(nll[0])), rel=5e-4)
    assert found.quant.perplexity == pytest.approx(np.exp(np.mean(nll[1])), rel=off / 4)
    ratio = np.exp(np.mean(nll[1]) - np.mean(nll[0]))
    assert found.perplexity_ratio.value == pytest.approx(ratio, rel=off / 4)
    assert found.agreement.value == pytest.approx((p.argmax(axis=1) == q.argmax(axis=1)).mean(), abs=off)
    worst = found.worst[0]
    assert worst.kl == found.kl_max
    assert letters[worst.position] == worst.actual
    assert letters[: worst.position].endswith(worst.context)


@pytest.mark.parametrize("name", sorted(bundled()))
def test_a_specialists_variants_are_ranked_by_their_bits(variant, name):
    base = candidate(variant(name, "F16"))
    text = read_text()
    eight, four = (
        compare(candidate(path), base, text, HERE, QUICK) for path in (bundled()[name], variant(name, "Q4_0"))
    )

    assert eight.kl.high < four.kl.low
    assert eight.agreement.low > four.agreement.high
    assert four.verdict.least in (Loss.SMALL, Loss.CLEAR, Loss.SEVERE)
    assert (four.quant.quantization, four.base.quantization) == ("Q4_0", "F16")
    assert base.facts.source.files[0] == four.base.file
    assert 0 < four.base.noise.value < eight.quant.noise.value  # 16-bit weights leave activations as they are
    assert four.noise_positions >= 128
    assert not children()


def test_a_model_is_indistinguishable_from_itself():
    same = candidate(bundled()["arithmetic"])
    found = compare(same, same, read_text(), HERE, QUICK)

    assert (found.kl.value, found.kl_max, found.agreement.value) == (0, 0, 1)
    assert found.verdict.most is Loss.NONE
    assert found.agreement.low < 1
    assert not found.worst


@pytest.mark.parametrize(("k", "v"), [("q8_0", "f16"), ("f16", "q8_0")])
def test_caches_of_fewer_bits_cost_more_and_both_parts_tell(k, v):
    base = candidate(bundled()["arithmetic"])
    eight = compare(candidate(bundled()["arithmetic"], k, v), base, read_text(), HERE, QUICK)
    less = {"q8_0": "q4_0", "f16": "f16"}
    four = compare(candidate(bundled()["arithmetic"], less[k], less[v]), base, read_text(), HERE, QUICK)

    assert 0 < eight.kl.value < four.kl.value
    assert (four.base.cache_type_k, four.quant.cache_type_k) == ("f16", less[k])


def test_a_damaged_copy_is_found(tmp_path):
    def damage(name: str, values: np.ndarray) -> np.ndarray:
        return np.roll(values, 1, axis=0) if name == "blk.1.ffn_down.weight" else values

    damaged = remake(bundled()["arithmetic"], tmp_path / "damaged.gguf", "Q8_0", damage)
    found = compare(candidate(damaged), candidate(bundled()["arithmetic"]), read_text(), HERE, QUICK)

    assert found.verdict.least is Loss.SEVERE
    assert len(found.worst) == 5
    assert found.worst[0].base_top != found.worst[0].quant_top


def test_scores_are_those_of_the_engine_that_serves(bundled_gateway):
    prompt = "What is 37 plus 58? Tom has 12 apples and"
    answer = bundled_gateway.client().completions.create(
        model="arithmetic", prompt=prompt, max_tokens=1, logprobs=5, temperature=0
    )
    [told] = answer.model_dump()["choices"][0]["logprobs"]["content"]
    with Scorer("arithmetic", ScorerSettings(bundled()["arithmetic"], 512, 64, 1, 1 << 30)) as scorer:
        scorer.wait_until_loaded()
        tokens = scorer.tokenize(prompt)
        scorer.begin_scoring(tokens, 0, fresh=True)
        scorer.wait()
        last = scorer.rows(len(tokens), 0)[-1].astype(np.float64)
        logs = last - last.max() - np.log(np.exp(last - last.max()).sum())

    for top in told["top_logprobs"]:
        assert logs[top["id"]] == pytest.approx(top["logprob"], abs=0.03)
    assert logs.argmax() == told["id"]


@pytest.mark.parametrize("name", ["gemma3", "deepseek2", "mamba", "falcon-h1"])
def test_windows_latent_caches_and_recurrent_states_are_read_alike(tmp_path, name):
    """The tests of the interface hold for every kind of memory, and a fresh piece forgets the one before."""
    engine = Engine(tmp_path)
    path = engine.write(tmp_path / "model.gguf", FAMILIES[name])
    engine.close()
    with Scorer(name, ScorerSettings(path, 256, 64, 1, 4 << 30)) as scorer:
        scorer.wait_until_loaded()
        tokens = list(range(3, 60))
        for slot in (0, 1):
            scorer.begin_scoring(tokens, slot, fresh=True, singly=bool(slot))
            scorer.wait()
        whole, single = (scorer.rows(len(tokens), slot) for slot in (0, 1))
        assert np.abs(whole - single).max() < 1e-3


def test_a_model_that_does_not_read_from_left_to_right_is_refused(tmp_path):
    engine = Engine(tmp_path)
    path = engine.write(tmp_path / "model.gguf", FAMILIES["dream"])
    engine.close()

    with (
        pytest.raises(EngineFailed, match="does not read from left to right"),
        Scorer("dream", ScorerSettings(path, 256, 64, 1, 4 << 30)) as scorer,
    ):
        scorer.wait_until_loaded()


def test_a_mark_of_beginning_is_read_and_never_foretold(tmp_path):
    """Models that want a mark are given it in every piece, so that the first token counts too."""
    marked = write_model(tmp_path / "marked.gguf")
    text = Text("x" * 321, "x")
    found = compare(candidate(marked), candidate(marked), text, HERE, Manner(context_tokens=128))
    assert found.positions == 320

    data = marked.read_bytes()
    key = b"tokenizer.ggml.add_bos_token\x07\0\0\0"
    assert data.count(key) == 1
    at = data.index(key) + len(key)
    marked.write_bytes(data[:at] + b"\1" + data[at + 1 :])
    found = compare(candidate(marked), candidate(marked), text, HERE, Manner(context_tokens=128))
    assert found.positions == 321


def test_time_is_foretold_and_can_be_limited():
    told = []
    same = candidate(bundled()["arithmetic"])
    found = compare(same, same, read_text(), HERE, Manner(most_seconds=0.0), told.append)

    assert found.positions == 512
    assert [each.is_first for each in told] == [True]
    assert told[0].seconds_left > 0
    assert told[0].total_tokens == found.text_tokens
    assert "stopped after 0 s" in found.notes[0]


def test_files_of_other_vocabularies_are_not_compared(tmp_path):
    def swapped(_: str, tokens: list[str]) -> list[str]:
        return [*tokens[:100], tokens[101], tokens[100], *tokens[102:]]

    base = candidate(bundled()["arithmetic"])
    other = remake(bundled()["arithmetic"], tmp_path / "other.gguf", "Q8_0", tokens=swapped)
    with pytest.raises(BadSetting, match=r"different vocabularies: token 100 is '.*' in one and '.*' in the other"):
        compare(candidate(other), base, read_text(), HERE, QUICK)
    with pytest.raises(BadSetting, match="different vocabularies: 288 and 768 tokens"):
        compare(candidate(write_model(tmp_path / "small.gguf")), base, read_text(), HERE, QUICK)
    assert not children()


def test_what_cannot_be_compared_is_refused_before_anything_is_loaded(tmp_path):
    same = candidate(bundled()["arithmetic"])
    with pytest.raises(BadSetting, match="no cache type of keys is 'q9'"):
        compare(replace(same, cache_type_k="q9"), same, read_text(), HERE)
    with pytest.raises(BadSetting, match="too short to compare"):
        compare(same, same, read_text(), HERE, Manner(context_tokens=32))
    with pytest.raises(DoesNotFit, match="together need"):
        compare(same, same, read_text(), machine.describe("ram=1MiB@20GB/s,cores=2"), QUICK)
    with pytest.raises(BadSetting, match=r"a file has \d tokens, and at least 65 are needed"):
        compare(same, same, Text("+ +", "a file"), HERE)
    assert not children()


@pytest.mark.parametrize(
    ("how", "message"), [(signal.SIGKILL, "ended while it was needed"), (signal.SIGSTOP, "has not answered in time")]
)
def test_a_process_that_ends_or_hangs_is_told_and_leaves_nothing(how, message):
    same = candidate(bundled()["arithmetic"])

    def interfere(progress) -> None:
        if progress.is_first:
            children()[0].send_signal(how)

    with pytest.raises(EngineFailed, match=message):
        compare(same, same, read_text(), HERE, Manner(step_seconds=1.0), interfere)
    assert not children()


def test_a_damaged_file_is_refused_with_the_engines_words(tmp_path, tiny_gguf):
    base = tiny_gguf()
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(base.read_bytes()[:-4096])
    settings = ScorerSettings(cut, 512, 64, 1, 1 << 30)

    with pytest.raises(EngineFailed, match="refuses it"), Scorer("cut", settings) as scorer:
        scorer.wait_until_loaded()


def test_weights_that_are_no_numbers_end_in_an_error(tmp_path, tiny_gguf):
    def spoil(name: str, values: np.ndarray) -> np.ndarray:
        return values * np.nan if name == "blk.0.ffn_up.weight" else values

    spoilt = remake(tiny_gguf(), tmp_path / "spoilt.gguf", "F32", spoil)

    with pytest.raises(EngineFailed, match=r"spoilt: .*no finite numbers"):
        compare(candidate(spoilt), candidate(tiny_gguf()), read_text(), HERE, QUICK)


def test_a_process_is_refused_more_memory_than_it_was_given():
    # A cache for so many tokens would take over 1 GiB.
    settings = ScorerSettings(bundled()["extract"], 1 << 18, 64, 1, 256 << 20)

    with pytest.raises(EngineFailed, match="alloc"), Scorer("extract", settings) as scorer:
        scorer.wait_until_loaded()


SHIMS = {
    "other defaults": """
        struct params { char bytes[SIZE]; };
        struct params llama_context_default_params(void) { struct params p; memset(&p, 0, sizeof p); return p; }
    """,
    "fields of a batch in another order": """
        struct batch { int n; void *embd; int *token, *pos, *n_seq; int **seq; signed char *logits; };
        struct batch llama_batch_init(int n, int e, int s) {
            struct batch b = {0, 0, calloc(n, 4), calloc(n, 4), calloc(n, 4), calloc(n + 1, 8), calloc(n, 1)};
            for (int i = 0; i < n; i++) b.seq[i] = calloc(1, 4);
            return b;
        }
    """,
    "settings that do not arrive": "unsigned llama_n_ubatch(void *context) { return 17; }",
    "rows that lie elsewhere": "float *llama_get_logits_ith(void *c, int i) { return (float *)calloc(4, 4096); }",
    "positions that are not filled": "int llama_memory_seq_pos_max(void *memory, int sequence) { return -1; }",
}


@pytest.mark.skipif(not shutil.which("cc"), reason="a changed engine is made with a C compiler")
@pytest.mark.parametrize("name", SHIMS)
def test_a_changed_interface_ends_in_an_error_and_never_in_numbers(tmp_path, monkeypatch, tiny_gguf, name):
    """The wheel's library with one function changed, as a later version might have it, is put in its place."""
    real = next(Path(xllamacpp.__file__).parent.glob("*.so"))
    package = tmp_path / "xllamacpp"
    package.mkdir()
    (package / "__init__.py").write_text(f"__version__ = {xllamacpp.__version__!r}\n")
    source = tmp_path / "shim.c"
    source.write_text("#include <stdlib.h>\n#include <string.h>\n" + SHIMS[name])
    subprocess.run(
        ["cc", "-shared", "-fPIC", f"-DSIZE={ctypes.sizeof(ContextParams)}",
         "-o", str(package / "shim.so"), str(source), str(real), f"-Wl,-rpath,{real.parent}", "-Wl,--no-as-needed",
         "-Wl,--allow-shlib-undefined"],
        check=True,
    )  # fmt: skip
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    settings = ScorerSettings(tiny_gguf(), 512, 64, 1, 1 << 30)

    with pytest.raises(EngineFailed, match="interface is not the known one"), Scorer("tiny", settings) as scorer:
        scorer.wait_until_loaded()


def test_another_version_is_refused(tmp_path, monkeypatch, tiny_gguf):
    package = tmp_path / "xllamacpp"
    package.mkdir()
    (package / "__init__.py").write_text('__version__ = "2027.1.1"\n')
    real = next(Path(xllamacpp.__file__).parent.glob("*.so"))
    (package / real.name).symlink_to(real)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    with (
        pytest.raises(EngineFailed, match=r"xllamacpp 2027\.1\.1 is installed"),
        Scorer("tiny", ScorerSettings(tiny_gguf(), 512, 64, 1, 1 << 30)) as scorer,
    ):
        scorer.wait_until_loaded()


def test_the_known_version_is_the_one_that_is_required(tiny_gguf):
    required = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    with Scorer("tiny", ScorerSettings(tiny_gguf(), 512, 64, 1, 1 << 30)) as scorer:
        scorer.wait_until_loaded()

    assert scorer.version.replace(" ", "==") in required


def test_our_settings_stay_with_us(monkeypatch, tiny_gguf):
    monkeypatch.setenv("WEIGHBRIDGE_API_KEY", "secret")
    with Scorer("tiny", ScorerSettings(tiny_gguf(), 512, 64, 1, 1 << 30)) as scorer:
        scorer.wait_until_loaded()
        [child] = children()
        assert "WEIGHBRIDGE_API_KEY" not in child.environ()
        assert os.getpgid(child.pid) != os.getpgid(0)  # Ctrl-C is for us


@pytest.mark.parametrize(("content", "message"), [(b"abc\nd\xff", "line 2: found byte 0xff"), (None, "No such file")])
def test_a_text_that_cannot_be_read_names_its_fault(tmp_path, content, message):
    path = tmp_path / "text.txt"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(BadSetting, match=message):
        read_text(path)
