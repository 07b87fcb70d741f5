"""A projector for images as converters write it (llava's `mlp`), with weights of zero."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np


def write_projector(path: Path, width: int = 64, inner: int = 128, layers: int = 2, out: int = 96) -> Path:
    """A tower of `layers` blocks for images of 224 x 224, whose output is as wide as the model's embedding (`out`)."""
    image, patch, heads = 224, 14, 4
    writer = gguf.GGUFWriter(str(path), "clip")
    writer.add_bool("clip.has_vision_encoder", True)
    writer.add_string("clip.projector_type", "mlp")
    writer.add_bool("clip.use_gelu", True)
    sizes = {"image_size": image, "patch_size": patch, "embedding_length": width, "feed_forward_length": inner}
    for key, value in {**sizes, "projection_dim": out, "block_count": layers, "attention.head_count": heads}.items():
        writer.add_uint32(f"clip.vision.{key}", value)
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-5)
    writer.add_array("clip.vision.image_mean", [0.5, 0.5, 0.5])
    writer.add_array("clip.vision.image_std", [0.5, 0.5, 0.5])
    for name, shape in _tensors(width, inner, layers, out, (image // patch) ** 2, patch).items():
        writer.add_tensor(name, np.zeros(shape, np.float32 if len(shape) == 1 else np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _tensors(width: int, inner: int, layers: int, out: int, patches: int, patch: int) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {
        "v.patch_embd.weight": (width, 3, patch, patch),
        "v.class_embd": (width,),
        "v.position_embd.weight": (patches + 1, width),
    }
    matrices = {"mm.0": (out, width), "mm.2": (out, out)}
    for layer in range(layers):
        for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
            matrices[f"v.blk.{layer}.{name}"] = (width, width)
        matrices |= {f"v.blk.{layer}.ffn_up": (inner, width), f"v.blk.{layer}.ffn_down": (width, inner)}
    norms = ["v.pre_ln", *(f"v.blk.{layer}.{name}" for layer in range(layers) for name in ("ln1", "ln2"))]
    for name, (rows, columns) in matrices.items():
        found |= {f"{name}.weight": (rows, columns), f"{name}.bias": (rows,)}
    for name in norms:
        found |= {f"{name}.weight": (width,), f"{name}.bias": (width,)}
    return found
