"""The processor, by what the system itself says of it."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

import psutil

from .caches import darwin_caches, linux_caches
from .machine import Processor

# /proc/cpuinfo's flags that change how llama.cpp computes, with ggml's name for each (ggml-cpu, `ggml_cpu_has_*`).
_FLAGS = {
    "sse3": "SSE3", "pni": "SSE3", "ssse3": "SSSE3", "avx": "AVX", "avx2": "AVX2", "f16c": "F16C", "fma": "FMA",
    "bmi2": "BMI2", "avx_vnni": "AVX_VNNI", "avx512f": "AVX512", "avx512_vnni": "AVX512_VNNI",
    "avx512_bf16": "AVX512_BF16", "amx_int8": "AMX_INT8", "asimd": "NEON", "asimddp": "DOTPROD", "i8mm": "MATMUL_INT8",
    "sve": "SVE", "sme": "SME", "fphp": "FP16_VA", "vsx": "VSX", "vx": "VXE",
}  # fmt: skip


def _cpuinfo() -> dict[str, str]:
    """The first processor's fields of /proc/cpuinfo; empty where there is none."""
    try:
        first = Path("/proc/cpuinfo").read_text().split("\n\n", 1)[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def sysctl(*names: str) -> dict[str, str]:
    """Darwin's answers by name, asked in one call; a name that the system does not know is left out."""
    try:
        answer = subprocess.run(["sysctl", *names], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.SubprocessError):
        return {}
    pairs = (line.partition(": ") for line in answer.stdout.splitlines())
    return {name: value.strip() for name, _, value in pairs if value.strip()}


def _board() -> str | None:
    """What the device tree names the board, on Arm machines whose processor has no name: `Raspberry Pi 5 Model B`."""
    try:
        return Path("/proc/device-tree/model").read_text(errors="replace").strip("\0 \n") or None
    except OSError:
        return None


def detect_processor() -> Processor:
    """The processor: threads are those that this process may use (its affinity), not all that exist."""
    info = _cpuinfo()
    model = info.get("model name") or info.get("cpu model") or _board()
    flags = (info.get("flags") or info.get("features") or "").split()
    caches = linux_caches()
    if platform.system() == "Darwin":
        told = sysctl("machdep.cpu.brand_string", "hw.perflevel0", "hw.perflevel1")
        model, caches = model or told.get("machdep.cpu.brand_string"), darwin_caches(told)
        flags = flags or (["asimd", "asimddp"] if platform.machine() == "arm64" else [])
    sets = dict.fromkeys(_FLAGS[flag] for flag in flags if flag in _FLAGS)
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Processor(model, psutil.cpu_count(logical=False), affinity, tuple(sets), caches)
