"""A processor's caches, from a sysfs made of files and from what sysctl prints."""

from __future__ import annotations

from weighbridge.machine.caches import darwin_caches, linux_caches
from weighbridge.machine.machine import Cache


def write_cache(root, cpu, index, **fields):
    folder = root / f"cpu{cpu}" / "cache" / f"index{index}"
    folder.mkdir(parents=True)
    for name, text in fields.items():
        (folder / name).write_text(f"{text}\n")


def test_caches_are_counted_by_who_shares_them(tmp_path):
    for cpu in range(4):
        pair = "0-1" if cpu < 2 else "2-3"
        write_cache(tmp_path, cpu, 0, level=1, type="Data", size="32K", shared_cpu_list=cpu)
        write_cache(tmp_path, cpu, 1, level=1, type="Instruction", size="64K", shared_cpu_list=cpu)
        write_cache(tmp_path, cpu, 2, level=2, type="Unified", size="1M", shared_cpu_list=pair)
        write_cache(tmp_path, cpu, 3, level=3, type="Unified", size="32768K", shared_cpu_list="0-3")

    assert linux_caches(tmp_path) == (
        Cache(1, "data", 32 << 10, 4),
        Cache(1, "instruction", 64 << 10, 4),
        Cache(2, "unified", 1 << 20, 2),
        Cache(3, "unified", 32 << 20, 1),
    )


def test_what_is_no_cache_is_passed_over(tmp_path):
    write_cache(tmp_path, 0, 0, level="?", type="Data", size="32K")
    write_cache(tmp_path, 0, 1, level=1, type="Data", size="much")
    write_cache(tmp_path, 0, 2, level=1, type="Trace", size="32K")

    assert linux_caches(tmp_path) == ()
    assert linux_caches(tmp_path / "nothing") == ()


def test_a_mac_has_caches_for_each_kind_of_core():
    told = {
        "hw.perflevel0.physicalcpu": "4", "hw.perflevel0.cpusperl2": "4", "hw.perflevel0.l1dcachesize": "131072",
        "hw.perflevel0.l1icachesize": "196608", "hw.perflevel0.l2cachesize": "12582912",
        "hw.perflevel1.physicalcpu": "4", "hw.perflevel1.cpusperl2": "4", "hw.perflevel1.l2cachesize": "4194304",
    }  # fmt: skip

    assert darwin_caches(told) == (
        Cache(1, "data", 131072, 4),
        Cache(1, "instruction", 196608, 4),
        Cache(2, "unified", 12 << 20, 1),
        Cache(2, "unified", 4 << 20, 1),
    )
