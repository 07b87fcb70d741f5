"""Mamba 2: no attention; each layer a mixer with a state of fixed size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from weighbridge.facts.architectures._assumed import assume, layer_count, recurrent
from weighbridge.facts.architectures.mamba import backbone
from weighbridge.facts.config import Config
from weighbridge.facts.parts import Part, linear, norm


@dataclass(frozen=True, slots=True)
class Mixer:
    """The sizes of Mamba 2's mixer, which several hybrids have under other keys."""

    width: int
    heads: int
    head_length: int
    groups: int
    state: int
    kernel: int
    bias: bool = False
    """On the matrices."""
    conv_bias: bool = True
    output_bias: bool | None = None
    """As `bias` unless it is said."""
    is_normed: bool = True

    @property
    def inner(self) -> int:
        """The values of all heads."""
        return self.heads * self.head_length

    @property
    def convolved(self) -> int:
        """Values, and each group's two state vectors."""
        return self.inner + 2 * self.groups * self.state

    def kept_by(self, config: Config) -> Config:
        """The config with what a layer keeps."""
        return recurrent(config, conv=self.convolved * max(0, self.kernel - 1), state=self.inner * self.state)

    def parts(self, name: str) -> Iterator[Part]:
        """Every tensor of one."""
        output_bias = self.bias if self.output_bias is None else self.output_bias
        for vector in ("dt_bias", "A_log", "D"):
            yield Part(f"{name}.{vector}", (self.heads,))
        yield Part(f"{name}.conv1d.weight", (self.convolved, 1, self.kernel))
        if self.conv_bias:
            yield Part(f"{name}.conv1d.bias", (self.convolved,))
        yield from linear(f"{name}.in_proj", self.width, self.inner + self.convolved + self.heads, bias=self.bias)
        if self.is_normed:
            yield from norm(f"{name}.norm", self.inner)
        yield from linear(f"{name}.out_proj", self.inner, self.width, bias=output_bias)


def hybrid_mixer(config: Config) -> Mixer:
    """The mixer by the keys of the hybrids that followed (Bamba, Falcon-H1, Granite 4)."""
    width, heads = config.whole("hidden_size"), config.whole("mamba_n_heads", least=1)
    inner = config.whole("mamba_d_ssm", default=config.whole("mamba_expand", default=2) * width)
    is_auto = config.text("mamba_d_head") == "auto"
    length = inner // heads if is_auto else config.whole("mamba_d_head", default=inner // heads)
    return Mixer(
        width, heads, length, config.whole("mamba_n_groups"), config.whole("mamba_d_state"),
        config.whole("mamba_d_conv"), bias=config.flag("mamba_proj_bias"),
        conv_bias=config.flag("mamba_conv_bias", default=True),
    )  # fmt: skip


def complete_hybrid(config: Config) -> Config:
    """The defaults of the keys that `hybrid_mixer` reads, the same in all of those."""
    config = assume(
        config, mamba_n_heads=128, mamba_n_groups=1, mamba_d_state=256, mamba_d_conv=4, mamba_expand=2,
    )  # fmt: skip
    mixer = hybrid_mixer(config)
    return mixer.kept_by(config).replace(mamba_d_head=mixer.head_length)


def complete(config: Config) -> Config:
    """The defaults of `Mamba2Config`."""
    config = assume(
        config, num_heads=128, head_dim=64, vocab_size=32768, hidden_size=4096, state_size=128,
        num_hidden_layers=64, conv_kernel=4, n_groups=8,
    )  # fmt: skip
    return _mixer(config).kept_by(config).replace(layer_types=["mamba"] * layer_count(config))


def parts(config: Config) -> Iterator[Part]:
    """Every tensor."""
    return backbone(config, _mixer(config).parts, tied=config.flag("tie_word_embeddings"))


def _mixer(config: Config) -> Mixer:
    return Mixer(
        config.whole("hidden_size"), config.whole("num_heads"), config.whole("head_dim"), config.whole("n_groups"),
        config.whole("state_size"), config.whole("conv_kernel"), bias=config.flag("use_bias"),
        conv_bias=config.flag("use_conv_bias", default=True),
    )  # fmt: skip
