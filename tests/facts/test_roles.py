# ruff: noqa: E501
"""What a tensor is for is told by its name: the names that makers use."""

from __future__ import annotations

import pytest

from weighbridge.facts.roles import role_of

NAMES = {
    "embedding": "model.embed_tokens.weight tok_embeddings.weight token_embd.weight transformer.wte.weight shared.weight "
    "backbone.embeddings.weight rwkv.embeddings.weight embeddings.word_embeddings.weight gpt_neox.embed_in.weight "
    "language_model.backbone.embeddings.weight",
    "per_layer_embedding": "model.language_model.embed_tokens_per_layer.weight per_layer_token_embd.weight",
    "output": "lm_head.weight output.weight head.weight language_model.lm_head.weight language_model.output.weight "
    "embed_out.weight transformer.output_layer.weight",
    "attention": "model.layers.3.self_attn.q_proj.weight layers.3.attention.wq.weight blk.7.attn_q.weight "
    "model.layers.0.self_attn.sinks model.layers.0.self_attn.indexer.wk.weight backbone.layers.3.mixer.q_proj.weight "
    "encoder.block.0.layer.0.SelfAttention.v.weight single_transformer_blocks.0.attn.to_v.weight",
    "feed_forward": "model.layers.3.mlp.gate_proj.weight layers.3.feed_forward.w1.weight blk.0.ffn_gate.weight "
    "transformer.h.3.mlp.c_fc.weight",
    "routed_experts": "model.layers.3.mlp.experts.5.up_proj.weight model.layers.3.mlp.experts.gate_up_proj_blocks "
    "model.layers.3.block_sparse_moe.experts.3.w1.weight model.layers.0.mlp.switch_mlp.gate_proj.weight "
    "blk.3.ffn_gate_exps.weight layers.3.ffn.experts.4.w1.weight transformer.blocks.3.ffn.experts.mlp.w1 "
    "backbone.layers.3.mixer.experts.4.up_proj.weight model.layers.9.moe.gate_proj.weight",
    "shared_experts": "model.layers.3.mlp.shared_experts.up_proj.weight model.layers.3.mlp.shared_expert.up_proj.weight "
    "blk.3.ffn_gate_shexp.weight model.layers.9.share_expert.gate_proj.weight",
    "router": "model.layers.3.mlp.gate.weight model.layers.3.mlp.router.weight blk.3.ffn_gate_inp.weight "
    "model.layers.3.block_sparse_moe.gate.weight layers.3.ffn.gate.weight language_model.model.layers.3.feed_forward.router.weight",
    "norm": "model.norm.weight blk.0.attn_norm.weight model.layers.0.input_layernorm.weight backbone.norm_f.weight",
    "recurrent": "backbone.layers.3.mixer.in_proj.weight model.layers.1.linear_attn.A_log blk.0.ssm_in.weight "
    "model.layers.0.conv.conv.weight model.layers.0.mamba.in_proj.weight rwkv.blocks.0.attention.key.weight",
    "vision": "model.visual.blocks.3.attn.qkv.weight vision_tower.encoder.layers.3.mlp.fc1.weight mlp1.1.weight "
    "multi_modal_projector.linear_1.weight v.blk.0.attn_q.weight mm.0.weight model.image_newline vpm.encoder.layers.0.mlp.fc1.weight",
    "audio": "audio_tower.conv1.weight model.embed_audio.embedding.weight a.blk.0.ffn_up.weight code2wav.decoder.0.weight",
    "mtp": "mtp.fc.weight model.layers.61.eh_proj.weight model.layers.61.mlp.up_proj.weight blk.5.nextn.eh_proj.weight "
    "model.mtp_layers.0.mlp.up_proj.weight model.layers.61.mlp.experts.3.up_proj.weight",
    "buffer": "model.layers.3.mlp.gate.e_score_correction_bias layers.0.ffn.gate.tid2eid rope_freqs.weight blk.3.exp_probs_b.bias "
    "model.layers.0.self_attn.rotary_emb.inv_freq embeddings.position_ids gpt_neox.layers.0.attention.bias layers.3.ffn.gate.bias",
}  # fmt: skip


@pytest.mark.parametrize("role", NAMES)
def test_names_tell_roles(role):
    assert {name: role_of(name, 61) for name in NAMES[role].split()} == dict.fromkeys(NAMES[role].split(), role)


@pytest.mark.parametrize(
    "name", ["double_blocks.0.img_attn.qkv.weight", "transformer_blocks.0.img_mlp.net.0.proj.weight"]
)
def test_a_diffusion_network_has_no_eyes(name):
    assert role_of(name) not in ("vision", "audio")
