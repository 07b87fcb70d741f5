"""What a tensor is for, by its name: GGUF's names, those of published checkpoints, and diffusers'."""

from __future__ import annotations

import re

# Numbers in names are 0 here.
_RULES: tuple[tuple[str, str], ...] = (
    # Kept beside the weights, but no weights: biases that only balance experts, tables of rotations, masks, statistics.
    ("buffer", r"(gate|router|moe)\.e_score_correction_bias|ffn\.gate\.bias$|expert_bias$|exp_probs_b|rotary_emb\."
               r"|rope_freqs|rope_factors|inv_freq|masked_bias|(^|\.)(attn|attention)\.bias$|running_mean|running_var"
               r"|num_batches_tracked|tid\deid|position_ids"),
    ("mtp", r"(^|[._])mtp([._]|s?\d|$)|nextn|\.eh_proj|multi_token_pred"),
    ("vision", r"(^|\.)(visual|vision\w*|vit|vpm|sam_model|aligner|image_(embed|processor|projection|encoder)\w*"
               r"|img_(processor|projection|embed)\w*|pixel_\w+|multi_modal_projector|mm_projector|mmproj|embed_vision"
               r"|patch_merge\w*|pre_mm_projector_norm|connector|mlp\d|resampler|perceiver\w*|patch_embed\w*)\."),
    ("vision", r"^(v|mm)\.|(^|\.)image_newline$|view_seperator"),
    ("audio", r"(^|\.)(audio\w*|embed_audio|speech\w*|sound\w*|apm|tts|whisper\w*|code\dwav|talker|token\dwav"
              r"|codec\w*)\.|^a\.|^model\.encoder\.conv\d\."),
    ("per_layer_embedding", r"embed_tokens_per_layer|per_layer_token_embd"),
    ("output", r"(^|\.)lm_head\.|^(language_model\.)?output\.|(^|\.)embed_out\.|^(model\.)?head\.|output_layer\."
               r"|(^|\.)shared_head\.head"),
    ("embedding", r"embed_tokens\.|(^|\.)(word|tok|token|tokens)_?embed\w*\.|token_embd\.|(^|\.)wte\.|embed_in\."
                  r"|(^|\.)(backbone|rwkv|model)\.embeddings?\.|^embed\.|word_embeddings\."
                  r"|^(model\.)?shared\.weight|emb\.weight$"),
    ("router", r"e_score_correction_bias"),
    ("shared_experts", r"shared?_expert|shared_mlp|_shexp"),
    ("routed_experts", r"\.experts\.|_exps[._]|\.experts_|^experts\.|switch_mlp\."
                       r"|block_sparse_moe\.(input|output)_linear|\.moe\.(gate|up|down)_proj"),
    ("router", r"(mlp|ffn|feed_forward|moe|mixer|experts|block)\.(gate|router)(\.|$)|ffn_gate_inp|router|shared_?gate"
               r"|(^|\.)gate\.(wg|weight|bias)$"),
    ("norm", r"norm|(^|\.)ln_|layer_?norm|\.ln\d?\."),
    ("recurrent", r"mamba|ssm|rwkv\.blocks|linear_attn|shortconv|\.conv\d?d?\.|time_mix|channel_mix|delta|A_log|dt_bias"
                  r"|\.mixer\.(in_proj|out_proj|conv\dd|D$)|dt_proj|x_proj|lightning|kda"),
    ("attention", r"attn|[Aa]ttention|indexer|\.(q|k|v|o|qkv)_proj|wq|wk|wv|wo|query|key_value|hc_|q_a_|kv_a_"),
    ("feed_forward", r"mlp|feed_forward|ffn|fc\d|\.(up|down|gate)_proj|ff\.|ff_context|dense|w\d|wi|DenseRelu"),
)  # fmt: skip
_COMPILED = tuple((role, re.compile(pattern)) for role, pattern in _RULES)
_NUMBER = re.compile(r"\d+")
_LAYER = re.compile(r"(?:^|\.)(?:layers|blk|h)\.(\d+)\.")
_ENCODER = re.compile(r"visual|vision|vit|audio|speech|encoder|whisper|^v\.|^a\.")

# Roles that a layer's number does not change.
_ELSEWHERE = frozenset({"mtp", "vision", "audio", "buffer"})

# What was found, by the name without numbers; in GGUF's layers by what follows the number.
_known: dict[str, str] = {}
_in_block: dict[str, str] = {}
_of_experts: dict[tuple[str, str, int | None], str] = {}
_MOST_KNOWN = 1 << 14
# Longer names than any maker gives are judged by their beginning.
_MOST_LETTERS = 160


def role_of(name: str, block_count: int | None = None) -> str:
    """The role of the tensor of that name; layers at or after `block_count` predict further tokens (DeepSeek-V3 keeps
    its multi-token-prediction module as one more layer)."""
    if name.startswith("blk."):
        # GGUF's layers, without a search: there are hundreds of them, and few kinds.
        number, _, rest = name[4:].partition(".")
        role = _in_block.get(rest) or _found(f"blk.0.{rest}", rest, _in_block)
        if block_count is None or not number.isdecimal() or int(number[:9]) < block_count:
            return role
        return role if role in _ELSEWHERE else "mtp"
    if ".experts." in name:
        # Nor for the experts of one layer, which are alike: the largest mixtures have 90,000 tensors.
        layer, _, rest = name.partition(".experts.")
        key = layer, rest.lstrip("0123456789"), block_count
        known = _of_experts.get(key)
        if known is None:
            known = _searched(name, block_count)
            if len(_of_experts) < _MOST_KNOWN:
                _of_experts[key] = known
        return known
    return _searched(name, block_count)


def _searched(name: str, block_count: int | None) -> str:
    form = _NUMBER.sub("0", name)
    role = _known.get(form) or _found(form, form, _known)
    if block_count is not None and role not in _ELSEWHERE:
        layer = _LAYER.search(name)
        if layer and int(layer[1][:9]) >= block_count and not _ENCODER.search(name):
            return "mtp"
    return role


def _found(form: str, key: str, known: dict[str, str]) -> str:
    role = next((role for role, pattern in _COMPILED if pattern.search(form[:_MOST_LETTERS])), "other")
    if len(known) < _MOST_KNOWN:
        known[key] = role
    return role
