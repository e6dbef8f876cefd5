"""Rate and memory of importing a long kernel log.

    python -m bench.import_bench --gib 10 --dir /var/tmp

Measured against: ``grep -c`` over the same file.

Writes a kernel log of that size (1 GiB by default) to a temporary directory: unrelated lines, and
every 2,000 lines an arena report of a real capture with another address. Counts the reports with
grep and imports the file from a pipe; the import must find every report. The ratio of the two
times is the result: both read the same file, from the page cache if it fits. --compressed imports
the same log from gzip and from zstd as well.
"""

from __future__ import annotations

import argparse
import gzip
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pyarrow as pa

_REPORT_EVERY = 2000
_HEADER = "ERROR: Arena READ access at unmapped address 0x"
_CAPTURE = Path(__file__).resolve().parents[1] / "tests/unit/importers/captures/stream-7.3-rc7.txt"
_PREFIX = "[%5d.%06d] "
_BORING = "usb 1-%d: new high-speed USB device number %d using xhci_hcd"


def write_log(path: Path, size: int) -> int:
    """Write ``size`` bytes or a little more; how many reports are in it."""
    report = _CAPTURE.read_text(encoding="utf-8").split(_HEADER)[1].split("\n", 1)[1]
    body = report.split("\nERROR:")[0].strip("\n").splitlines()
    written = reports = second = 0
    with path.open("w", encoding="utf-8", buffering=1 << 20) as file:
        while written < size:
            second += 1
            stamps = (_PREFIX % (second, micro) for micro in range(_REPORT_EVERY))
            lines = [stamp + _BORING % (i % 9, i) for i, stamp in enumerate(stamps)]
            head = _PREFIX % (second, 999_999)
            lines.append(f"{head}{_HEADER}{0x7F0000000000 + second % 4096 * 4096:x}")
            lines += [head + line for line in body]
            lines.append(head)
            written += file.write("\n".join(lines) + "\n")
            reports += 1
    return reports


def timed(command: list[str], stdin: Path | None = None) -> tuple[float, str]:
    """Wall time in s and standard output of a command that exits 0 or 1."""
    start = time.monotonic()
    if stdin is None:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    else:
        with stdin.open("rb") as file:
            done = subprocess.run(command, stdin=file, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(f"{command[0]}: {done.stderr}")
    return time.monotonic() - start, done.stdout


def _compressed(log: Path, trace: Path) -> Iterator[tuple[str, float]]:
    """Name and wall time in s of an import of each compressed form, which replaces ``trace``."""
    for name, codec in (("gzip", gzip_stream), ("zstd", zstd_stream)):
        packed = log.with_suffix(f".{name}")
        with log.open("rb") as plain, codec(packed) as sink:
            shutil.copyfileobj(plain, sink, 1 << 20)
        shutil.rmtree(trace)
        command = [sys.executable, "-m", "arenatrace.cli", "import", str(packed), "-o", str(trace)]
        yield name, timed(command)[0]
        packed.unlink()


def gzip_stream(path: Path) -> IO[bytes]:
    """A file to write, compressed as gzip does."""
    return gzip.GzipFile(path, "wb", compresslevel=1)  # type: ignore[return-value]


def zstd_stream(path: Path) -> IO[bytes]:
    """A file to write, compressed as zstd does."""
    return pa.CompressedOutputStream(str(path), "zstd")  # type: ignore[no-any-return]


def main() -> int:
    """Measure and print; the status says whether every report was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gib", type=float, default=1.0, help="size of the log")
    parser.add_argument("--dir", type=Path, help="where the log and the trace go")
    parser.add_argument("--compressed", action="store_true", help="import gzip and zstd as well")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.dir) as directory:
        log, trace = Path(directory) / "kernel.log", Path(directory) / "t.atrace"
        reports = write_log(log, int(arguments.gib * (1 << 30)))
        size = log.stat().st_size
        grep_s, found = timed(["grep", "-c", _HEADER, str(log)])
        arenatrace = [sys.executable, "-m", "arenatrace.cli"]
        import_s, _ = timed([*arenatrace, "import", "-", "-o", str(trace)], log)
        # of all children that have ended so far: grep is far below
        peak_mib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        _, summary = timed([*arenatrace, "summary", str(trace), "--json"])
        totals = json.loads(summary)["totals"]
        compressed = dict(_compressed(log, trace)) if arguments.compressed else {}
    faults = totals["kernel_faults"] + totals["prog_faults"]
    print(f"{size / (1 << 30):.2f} GiB, {reports:,} reports")
    print(f"grep -c  {grep_s:8.1f} s, {found.strip()} headers")
    print(f"import   {import_s:8.1f} s, {faults:,} faults, {size / import_s / 1e6:.0f} MB/s")
    print(f"ratio    {import_s / grep_s:8.1f}")
    for name, seconds in compressed.items():
        print(f"{name:8} {seconds:8.1f} s, {size / seconds / 1e6:.0f} MB/s of text")
    print(f"peak     {peak_mib:8.0f} MiB resident")
    return int(faults != reports)


if __name__ == "__main__":
    sys.exit(main())
