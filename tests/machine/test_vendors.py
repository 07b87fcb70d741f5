"""GPUs, from drivers' files made by hand and from what their tools print."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from weighbridge.figures import Basis, Figure
from weighbridge.machine import Device, Memory
from weighbridge.machine.table import complete, recognise, surer
from weighbridge.machine.vendors import amd, apple, intel, nvidia, vulkan

GIB = 1 << 30
MEMORY = Memory(64 * GIB, 50 * GIB, None)


def write(root, **files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")


def radeon(root, *, card=0, minor=128, target=110000, total=24 * GIB, used=GIB, width=384, clock=1249, **more):
    """An amdgpu card with the compute driver's node."""
    files = {
        "vendor": "0x1002", "device": "0x744c", "revision": "0xc8", "mem_info_vram_total": total,
        "mem_info_vram_used": used, "max_link_speed": "16.0 GT/s PCIe", "current_link_width": 16,
        "hwmon/hwmon3/power1_cap": 339000000,
    }  # fmt: skip
    write(root / f"class/drm/card{card}/device", **(files | more))
    (root / f"class/drm/card{card}/device/drm/renderD{minor}").mkdir(parents=True)
    node = root / f"class/kfd/kfd/topology/nodes/{card + 1}"
    properties = f"simd_count 192\ngfx_target_version {target}\ndrm_render_minor {minor}\nunique_id 9004149066219862957"
    write(node, properties=properties, **{"mem_banks/0/properties": f"heap_type 1\nwidth {width}\nmem_clk_max {clock}"})
    # The processor is a node too, and draws nothing.
    write(root / "class/kfd/kfd/topology/nodes/0", properties="cpu_cores_count 16\ndrm_render_minor 0")


def names(folder):
    path = folder / "amdgpu.ids"
    path.write_text("# List\n1.0.0\n744C,\tC8,\tAMD Radeon RX 7900 XTX\n744C,\tCC,\tAMD Radeon RX 7900 XT\n")
    return path


def test_a_radeon_is_read_from_its_drivers_files(tmp_path):
    radeon(tmp_path)
    (found,) = amd.by_sysfs(tmp_path, MEMORY, names(tmp_path))

    assert (found.name, found.vendor, found.compute_capability) == ("AMD Radeon RX 7900 XTX", "amd", "gfx1100")
    assert (found.memory_total_bytes, found.memory_free_bytes) == (24 * GIB, 23 * GIB)
    # 384 bits x 1,249 MHz x 16 / 8, which the data sheet calls 960 GB/s.
    assert found.bandwidth.value == pytest.approx(959.2e9, rel=0.001)
    assert found.bandwidth.basis is Basis.COMPUTED
    assert found.half_flops.value == 122.8e12
    assert found.link.name == "PCIe 4.0 x16"
    assert found.power_watts == Figure(339.0, Basis.READ, "amdgpu: power1_cap")
    assert not found.unified


def test_a_card_without_name_or_node_is_found_all_the_same(tmp_path):
    files = {"vendor": "0x1002", "device": "0x1234", "mem_info_vram_total": 8 * GIB}
    write(tmp_path / "class/drm/card1/device", **files)
    (found,) = amd.by_sysfs(tmp_path, MEMORY, tmp_path / "none")

    assert (found.name, found.memory_free_bytes, found.bandwidth) == ("AMD GPU 0x1234", 8 * GIB, None)


def test_graphics_in_the_processor_borrow_main_memory(tmp_path):
    more = {"product_name": "Radeon 8060S Graphics", "mem_info_gtt_total": 60 * GIB, "mem_info_gtt_used": 2 * GIB}
    radeon(tmp_path, target=110501, total=4 * GIB, used=GIB, width=256, clock=1000, **more)
    (found,) = amd.by_sysfs(tmp_path, MEMORY, tmp_path / "none")

    assert found.unified
    assert found.compute_capability == "gfx1151"
    assert found.memory_total_bytes == 64 * GIB
    # 3 GiB of its own, and of the 58 that it may borrow the 50 that are available.
    assert found.memory_free_bytes == 53 * GIB
    assert (found.bandwidth.value, found.bandwidth.basis) == (256e9, Basis.STATED)


@pytest.mark.parametrize(
    ("version", "target"), [(110000, "gfx1100"), (90010, "gfx90a"), (90402, "gfx942"), (100306, "gfx1036")]
)
def test_targets_are_written_as_llvm_does(version, target):
    assert amd.gfx_target(version) == target


@pytest.mark.parametrize(
    ("target", "bits", "mhz", "gb_s"),
    [
        ("gfx1030", 256, 1000, 512),
        ("gfx942", 8192, 1300, 5324.8),
        ("gfx90a", 4096, 1600, 1638.4),
        ("gfx906", 4096, 1000, 1024),
    ],
)
def test_amds_bandwidth_is_that_of_the_data_sheet(target, bits, mhz, gb_s):
    assert amd.memory_bandwidth(target, bits, mhz).value == pytest.approx(gb_s * 1e9)


def test_amd_smi_is_believed_where_it_answers():
    asic = {"market_name": "AMD Instinct MI300X", "target_graphics_version": "gfx942"}
    found = amd.smi_device(asic, {"vram_max_bandwidth": 5300}, 192 * GIB, 2 * GIB)

    assert found.bandwidth == Figure(5300e9, Basis.READ, "AMD SMI: vram_max_bandwidth")
    assert found.half_flops.value == 1307.4e12
    assert amd.smi_device({}, {"vram_max_bandwidth": "N/A"}, GIB, 0).bandwidth is None


@pytest.mark.parametrize(
    ("bits", "mhz", "gb_s"),
    [(384, 10501, 1008), (5120, 1215, 1555), (5120, 2619, 3352), (256, 5001, 320), (512, 14001, 1792)],
)
def test_nvidias_bandwidth_is_that_of_the_data_sheet(bits, mhz, gb_s):
    assert nvidia.memory_bandwidth(bits, mhz).value == pytest.approx(gb_s * 1e9, rel=0.001)
    assert nvidia.memory_bandwidth(None, mhz) is None


@pytest.mark.parametrize(
    ("version", "links", "capability", "name", "gb_s"),
    [
        (4, 12, "8.0", "NVLink 3", 300),
        (6, 18, "9.0", "NVLink 4", 450),
        (7, 18, "9.0", "NVLink 4", 450),
        (7, 18, "10.0", "NVLink 5", 900),
        (5, 4, "8.6", "NVLink 3", 56.25),
    ],
)
def test_links_between_gpus_add_up(version, links, capability, name, gb_s):
    link = nvidia.nvlink(version, links, capability)

    assert (link.name, link.bandwidth.value) == (name, gb_s * 1e9)
    assert nvidia.nvlink(99, links, capability).bandwidth is None


class Driver:
    """As much of NVML as answers for an H100 that is split in two, and for a GB10 that has no memory of its own."""

    NVMLError = type("NVMLError", (Exception,), {})
    NVML_CLOCK_MEM, NVML_FEATURE_ENABLED, NVML_NVLINK_MAX_LINKS = 2, 1, 18

    def nvmlSystemGetDriverVersion(self):
        return "580.1"

    def nvmlDeviceGetCount(self):
        return 2

    def nvmlDeviceGetHandleByIndex(self, index):
        return ("H100", "GB10")[index]

    def nvmlDeviceGetMigMode(self, handle):
        return self.only(handle == "H100", (1, 1))

    def nvmlDeviceGetMaxMigDeviceCount(self, handle):
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle, index):
        return self.only(index < 2, f"part {index}")

    def nvmlDeviceGetName(self, handle):
        return {"H100": "NVIDIA H100 80GB HBM3", "GB10": "NVIDIA GB10"}.get(handle, "NVIDIA H100 MIG 3g.40gb")

    def nvmlDeviceGetMemoryInfo(self, handle):
        total = {"H100": 80, "part 0": 40, "part 1": 40}.get(handle)
        return self.only(total, SimpleNamespace(total=(total or 0) * GIB, free=GIB))

    def nvmlDeviceGetMemoryBusWidth(self, handle):
        return self.only(handle == "H100", 5120)

    def nvmlDeviceGetMaxClockInfo(self, handle, kind):
        return 2619

    def only(self, known, answer):
        if not known:
            raise self.NVMLError("Not Supported")
        return answer


def test_a_split_gpu_shows_its_slices_and_a_gpu_without_memory_the_machines():
    first, second, whole = nvidia._devices(Driver(), MEMORY)

    assert first == second
    assert (first.memory_total_bytes, first.memory_free_bytes) == (40 * GIB, GIB)
    assert first.bandwidth.value == pytest.approx(3352e9 / 2, rel=0.001)
    assert first.half_flops is None
    assert whole.unified
    assert (whole.memory_total_bytes, whole.memory_free_bytes) == (64 * GIB, 50 * GIB)
    assert whole.bandwidth.value == 273e9


def test_an_arc_is_read_from_its_drivers_files(tmp_path):
    card = tmp_path / "class/drm/card0"
    write(card / "device", vendor="0x8086", device="0x56a0", **{"tile0/physical_vram_size_bytes": 16 * GIB})
    # Graphics in the processor, which has no memory of its own, is no discrete card.
    write(tmp_path / "class/drm/card1/device", vendor="0x8086", device="0x46a6")
    # i915 as the kernel ships it tells nothing, but there is one size of this card.
    write(tmp_path / "class/drm/card2/device", vendor="0x8086", device="0xe20b")
    first, second = intel.by_sysfs(tmp_path)

    assert (first.name, first.memory_total_bytes, first.bandwidth.value) == ("Intel Arc A770 16GB", 16 * GIB, 560e9)
    assert (second.name, second.memory_total_bytes) == ("Intel Arc B580", 12 * GIB)


@pytest.mark.parametrize(("gib", "limit"), [(16, 10.667), (24, 16), (32, 21.333), (36, 27), (64, 48), (512, 384)])
def test_metal_keeps_a_part_of_the_memory_for_the_system(gib, limit):
    assert apple.gpu_limit(gib * GIB) / GIB == pytest.approx(limit, abs=0.001)


def test_a_mac_is_told_apart_by_its_memory():
    small, large = apple.device("Apple M4 Max", 36 * GIB, 30 * GIB), apple.device("Apple M4 Max", 64 * GIB, 40 * GIB)

    assert (small.bandwidth.value, large.bandwidth.value) == (410e9, 546e9)
    assert (small.memory_free_bytes, large.memory_free_bytes) == (27 * GIB, 40 * GIB)
    assert small.unified
    assert apple.device("Apple M4 Max", 64 * GIB, 60 * GIB, 57344).memory_free_bytes == 56 * GIB


VULKANINFO = """\
GPU id = 0 (NVIDIA GeForce RTX 3060)
Device Properties and Extensions:
=================================
GPU0:
VkPhysicalDeviceProperties:
---------------------------
\tvendorID          = 0x1002
\tdeviceType        = PHYSICAL_DEVICE_TYPE_DISCRETE_GPU
\tdeviceName        = AMD Radeon RX 5700 XT (RADV NAVI10)
\tdriverName         = radv
VkPhysicalDeviceMemoryProperties:
=================================
memoryHeaps: count = 2
\tmemoryHeaps[0]:
\t\tsize   = 34289745920 (0x7fbd40000) (31.93 GiB)
\t\tbudget = 33484447744 (0x7cbd42000) (31.18 GiB)
\t\tusage  = 0 (0x00000000) (0.00 B)
\t\tflags:
\t\t\tNone
\tmemoryHeaps[1]:
\t\tsize   = 8573157376 (0x1ff000000) (7.98 GiB)
\t\tbudget = 6441484288 (0x17ff14000) (6.00 GiB)
\t\tusage  = 0 (0x00000000) (0.00 B)
\t\tflags: count = 1
\t\t\tMEMORY_HEAP_DEVICE_LOCAL_BIT
memoryTypes: count = 1
\tmemoryTypes[0]:
\t\tpropertyFlags = 0x0001: count = 1
\t\t\tMEMORY_PROPERTY_DEVICE_LOCAL_BIT
GPU1:
VkPhysicalDeviceProperties:
\tvendorID          = 0x10005
\tdeviceType        = PHYSICAL_DEVICE_TYPE_CPU
\tdeviceName        = llvmpipe (LLVM 20.1.8, 256 bits)
memoryHeaps: count = 1
\tmemoryHeaps[0]:
\t\tsize   = 8345616384
\t\tflags: count = 1
\t\t\tMEMORY_HEAP_DEVICE_LOCAL_BIT
GPU2:
\tvendorID          = 0x14c3
\tdeviceType        = PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU
\tdeviceName        = Some Chip
memoryHeaps: count = 1
\tmemoryHeaps[0]:
\t\tsize   = 68719476736
\t\tflags: count = 1
\t\t\tMEMORY_HEAP_DEVICE_LOCAL_BIT
"""


def test_vulkan_lists_gpus_and_no_programs_that_act_as_one():
    card, chip = vulkan.listed(VULKANINFO, MEMORY)

    assert (card.name, card.vendor) == ("AMD Radeon RX 5700 XT (RADV NAVI10)", "amd")
    assert (card.memory_total_bytes, card.memory_free_bytes) == (8573157376, 6441484288)
    assert card.bandwidth.value == 448e9
    assert (chip.vendor, chip.unified, chip.memory_free_bytes) == ("vulkan", True, 50 * GIB)


@pytest.mark.parametrize(
    ("name", "vendor", "gib", "row"),
    [
        ("NVIDIA GeForce RTX 4090", "nvidia", 23.99, "GeForce RTX 4090"),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", "nvidia", 16, "GeForce RTX 4090 Laptop"),
        ("NVIDIA A100-SXM4-80GB", "nvidia", 80, "A100 SXM 80GB"),
        ("NVIDIA A100-PCIE-40GB", "nvidia", 39.4, "A100 PCIe 40GB"),
        ("NVIDIA A100 80GB PCIe", "nvidia", 80, "A100 PCIe 80GB"),
        ("NVIDIA H100 80GB HBM3", "nvidia", 79.6, "H100 SXM"),
        ("NVIDIA H100 PCIe", "nvidia", 79.6, "H100 PCIe"),
        ("NVIDIA H100 NVL", "nvidia", 93.6, "H100 NVL"),
        ("NVIDIA H200", "nvidia", 140.4, "H200 SXM"),
        ("NVIDIA GH200 480GB", "nvidia", 95.6, "GH200 96GB"),
        ("NVIDIA B200", "nvidia", 179, "B200"),
        ("Tesla T4", "nvidia", 15, "T4"),
        ("Tesla V100-SXM2-32GB", "nvidia", 32, "V100 SXM2"),
        ("Tesla P100-PCIE-16GB", "nvidia", 16, "P100 PCIe 16GB"),
        ("NVIDIA RTX 6000 Ada Generation", "nvidia", 48, "RTX 6000 Ada"),
        ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", "nvidia", 95.6, "RTX PRO 6000 Blackwell Workstation"),
        (
            "NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition",
            "nvidia",
            95.6,
            "RTX PRO 6000 Blackwell Max-Q Workstation",
        ),
        ("NVIDIA GeForce RTX 3080", "nvidia", 12, "GeForce RTX 3080 12GB"),
        ("NVIDIA GB10", "nvidia", 119, "DGX Spark"),
        ("AMD Instinct MI300X", "amd", 192, "Instinct MI300X"),
        ("AMD Radeon PRO W7900", "amd", 45, "Radeon PRO W7900"),
        ("Radeon 8060S Graphics", "amd", 64, "Ryzen AI Max+ 395"),
        ("Intel(R) Arc(TM) A770 Graphics", "intel", 16, "Arc A770 16GB"),
        ("Apple M3 Ultra", "apple", 256, "Apple M3 Ultra"),
    ],
)
def test_devices_are_recognised_by_what_drivers_call_them(name, vendor, gib, row):
    assert recognise(name, vendor, int(gib * GIB)).name == row


def test_a_name_of_another_vendor_or_none_is_not_recognised():
    assert recognise("Radeon RX 7900 XTX", "nvidia", 24 * GIB) is None
    assert recognise("AMD Radeon Graphics", "amd", 16 * GIB) is None
    assert recognise("", "nvidia", 16 * GIB) is None


def test_the_lower_of_two_figures_counts_where_they_contradict_each_other():
    stated, near, far = (Figure(value, Basis.STATED, str(value)) for value in (1000.0, 1100.0, 2000.0))

    assert surer(near, stated) is near
    assert surer(far, stated).value == 1000.0
    assert "2000" in surer(far, stated).source
    assert surer(None, stated) is stated
    assert complete(Device("x", "nvidia", GIB, GIB), None) == Device("x", "nvidia", GIB, GIB)
