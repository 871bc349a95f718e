"""The machine under the benchmark: what it is, and what it can do."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def facts() -> dict[str, Any]:
    """Processor, system, interpreter, commit, and what lamella was built from."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                processor = line.partition(":")[2].strip()
                break
    known: dict[str, Any] = {
        "processor": processor,
        "processors": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
    }
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=HERE,
        capture_output=True,
        text=True,
        check=False,
    )
    if commit.returncode == 0:
        known["commit"] = commit.stdout.strip()
    try:
        import lamella

        known["lamella"] = dict(lamella.build_info())
    except ImportError:
        pass
    return known


def probe(threads: int, isa: str) -> dict[str, Any] | None:
    """Peak and copy bandwidth, measured by kernels/probe.cpp, or None.

    The program is compiled once and kept in the folder of temporary files; without a
    C++ compiler there are no such figures.
    """
    compiler = os.environ.get("CXX") or shutil.which("c++")
    if compiler is None:
        return None
    sources = [HERE / "kernels" / name for name in ("probe_main.cpp", "probe.cpp")]
    text = b"".join(source.read_bytes() for source in sources)
    digest = hashlib.sha256(text).hexdigest()[:16]
    program = Path(tempfile.gettempdir()) / f"lamella-probe-{os.getuid()}-{digest}"
    if not program.exists():
        with tempfile.TemporaryDirectory() as folder:
            fresh = Path(folder) / "probe"
            flags = ["-std=c++20", "-O3", "-ffp-contract=fast", "-pthread"]
            subprocess.run([compiler, *flags, *sources, "-o", fresh], check=True)
            shutil.move(fresh, program)
    done = subprocess.run(
        [program, isa, str(threads)], capture_output=True, text=True, check=True
    )
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures
