"""Mamba: no attention; each layer a mixer with a state of fixed size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from weighbridge.facts.architectures._assumed import assume, layer_count, recurrent
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, linear, norm


@dataclass(frozen=True, slots=True)
class Mixer:
    """The sizes of Mamba's mixer, which Jamba has under other keys."""

    width: int
    inner: int
    state: int
    kernel: int
    rank: int
    """Of the time step."""
    bias: bool
    conv_bias: bool

    def kept_by(self, config: Config) -> Config:
        """The config with what a layer keeps."""
        return recurrent(config, conv=self.inner * max(0, self.kernel - 1), state=self.inner * self.state)

    def parts(self, name: str) -> Iterator[Part]:
        """Every tensor of one."""
        yield Part(f"{name}.A_log", (self.inner, self.state))
        yield Part(f"{name}.D", (self.inner,))
        yield Part(f"{name}.conv1d.weight", (self.inner, 1, self.kernel))
        if self.conv_bias:
            yield Part(f"{name}.conv1d.bias", (self.inner,))
        yield from linear(f"{name}.in_proj", self.width, 2 * self.inner, bias=self.bias)
        yield from linear(f"{name}.x_proj", self.inner, self.rank + 2 * self.state)
        yield from linear(f"{name}.dt_proj", self.rank, self.inner, bias=True)
        yield from linear(f"{name}.out_proj", self.inner, self.width, bias=self.bias)


def rank_of(config: Config, key: str) -> int:
    """The rank of the time step: a sixteenth of the width, rounded up, where it is `auto` or not said."""
    auto = -(-config.whole("hidden_size") // 16)
    return auto if config.text(key) == "auto" else config.whole(key, default=auto)


def complete(config: Config) -> Config:
    """The defaults of `MambaConfig`."""
    config = assume(
        config, vocab_size=50280, hidden_size=768, state_size=16, num_hidden_layers=32, expand=2, conv_kernel=4,
    )  # fmt: skip
    return _mixer(config).kept_by(config).replace(layer_types=["mamba"] * layer_count(config))


def parts(config: Config) -> Iterator[Part]:
    """Every tensor."""
    return backbone(config, _mixer(config).parts, tied=config.flag("tie_word_embeddings", default=True))


def backbone(config: Config, mixer: Callable[[str], Iterator[Part]], *, tied: bool) -> Iterator[Part]:
    """A stack of mixers alone, each behind its norm."""
    width, vocabulary = config.whole("hidden_size"), config.whole("vocab_size")
    yield Part("backbone.embeddings.weight", (vocabulary, width))
    for layer in range(layer_count(config)):
        yield from norm(f"backbone.layers.{layer}.norm", width)
        yield from mixer(f"backbone.layers.{layer}.mixer")
    yield from norm("backbone.norm_f", width)
    if not tied:
        yield from linear("lm_head", width, vocabulary)


def _mixer(config: Config) -> Mixer:
    width = config.whole("hidden_size")
    return Mixer(
        width, config.whole("expand") * width, config.whole("state_size"), config.whole("conv_kernel"),
        rank_of(config, "time_step_rank"), config.flag("use_bias"), config.flag("use_conv_bias", default=True),
    )  # fmt: skip
