"""The machine that a run was done on: what can change its bits or its speed, and nothing that tells whose it is."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

GIB = 2**30


def hardware() -> dict[str, Any]:
    """CPU, cores, memory in GiB, operating system and, once torch is imported, its threads, instruction set and GPUs."""
    return {
        "cpu": _cpu_model(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "cores_usable": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": _memory(),
        "os": " ".join(part for part in (platform.system(), platform.release(), *platform.libc_ver()) if part),
        **_seen_by_torch(),
    }


def _cpu_model() -> str | None:
    """The CPU's name as its maker gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.partition(":")[0].strip() in ("model name", "Model", "cpu model"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    if sys.platform == "darwin":
        try:
            asked = ["sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(asked, capture_output=True, text=True, check=True, timeout=5).stdout.strip() or None
        except (OSError, subprocess.SubprocessError):
            return None
    return platform.processor() or None


def _memory() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB, 1)
    except (AttributeError, ValueError, OSError):
        return None


def _seen_by_torch() -> dict[str, Any]:
    torch = sys.modules.get("torch")
    if torch is None:
        return {}
    found = {"threads": torch.get_num_threads(), "instructions": torch.backends.cpu.get_cpu_capability(), "gpus": []}
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            card = torch.cuda.get_device_properties(number)
            found["gpus"].append({"name": card.name, "memory_gib": round(card.total_memory / GIB, 1), "capability": f"{card.major}.{card.minor}"})
        found |= {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}
    return found


class PeakMemory:
    """The most memory that a run held, from when this is made on: of a process that did another run before, not of that one."""

    def __init__(self) -> None:
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # Linux: the peak begins anew
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
            for number in range(torch.cuda.device_count()):
                torch.cuda.reset_peak_memory_stats(number)

    def gib(self) -> dict[str, Any]:
        """In GiB: ``host`` of this process, without loader workers; ``gpus`` what torch reserved of each, where it used any."""
        found: dict[str, Any] = {"host": _host_peak()}
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
            found["gpus"] = [round(torch.cuda.max_memory_reserved(number) / GIB, 3) for number in range(torch.cuda.device_count())]
        return found


def _host_peak() -> float | None:
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) * 1024 / GIB, 3)
    except (OSError, ValueError, IndexError):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    value = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(value * (1 if sys.platform == "darwin" else 1024) / GIB, 3)
