"""Ring sizes: what may be asked for, and what does not fit into memory."""

from __future__ import annotations

import mmap
from pathlib import Path

import pytest

from arenatrace.capture.ring.ring_size import RingSizes, parse_size, show_size
from arenatrace.cli import app
from arenatrace.errors import UnsupportedError, UsageError


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (str(mmap.PAGESIZE), mmap.PAGESIZE),
        ("64K", 64 << 10),
        ("8M", 8 << 20),
        ("8m", 8 << 20),
        ("8 MiB", 8 << 20),
        (" 8MB ", 8 << 20),
        ("1048576B", 1 << 20),
        ("2G", 2 << 30),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text, "--x") == size
    assert parse_size(show_size(size), "--x") == size


@pytest.mark.parametrize(
    ("text", "error", "hint"),
    [
        ("", "is not a size", "8M"),
        ("much", "is not a size", "8M"),
        ("-8M", "is not a size", "8M"),
        ("8.5M", "is not a size", "8M"),
        ("8T", "is not a size", "8M"),
        ("8iB", "is not a size", "8M"),
        ("\u0668M", "is not a size", "8M"),
        ("9" * 30, "is not a size", "8M"),
        ("0", "0 is less than a page", "at least 4K"),
        ("2K", "2K is less than a page", "at least 4K"),
        ("3M", "3M is not a power of two", "use 2M or 4M"),
        ("5000", "5000 is not a power of two", "use 4K or 8K"),
        ("4G", "4G is more than a ring can have", "at most 2G"),
        ("99999999999G", "more than a ring can have", "at most 2G"),
    ],
)
def test_invalid_ring_size_is_refused(text: str, error: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_size(text, "--ring-size")
    assert caught.value.message.startswith("--ring-size: ")
    assert error in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize("option", ["--ring-size", "--notes-ring-size"])
def test_error_names_the_option(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["record", option, "3M"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        f"arenatrace: error: {option}: 3M is not a power of two, which a ring must be",
        "hint: use 2M or 4M",
    ]


def _machine(root: Path, available_mib: int, *groups: tuple[str, str, int, int]) -> Path:
    """A root with /proc and /sys; each cgroup has a limit, its use, and its cache, in MiB."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text(f"MemTotal: 9 kB\nMemAvailable: {available_mib << 10} kB\n")
    (root / "proc/self/cgroup").write_text(f"0::{groups[-1][0] if groups else '/'}\n")
    for name, limit, used, cached in groups:
        group = root / "sys/fs/cgroup" / name.strip("/")
        group.mkdir(parents=True)
        most = limit if limit == "max" else str(int(limit) << 20)
        (group / "memory.max").write_text(f"{most}\n")
        (group / "memory.current").write_text(f"{used << 20}\n")
        (group / "memory.stat").write_text(f"anon 1\ninactive_file {cached << 20}\n")
    return root


def test_rings_fit_into_memory(tmp_path: Path) -> None:
    RingSizes(16 << 20, 16 << 20).require_memory(
        _machine(tmp_path, 100, ("/a", "64", 60, 40), ("/a/b", "max", 9, 0))
    )


def test_memory_check_passes_when_limits_are_unreadable(tmp_path: Path) -> None:
    RingSizes(1 << 31, 1 << 31).require_memory(tmp_path)


@pytest.mark.parametrize(
    ("groups", "what"),
    [
        ((), "this machine's memory, which has 500 MiB left"),
        (
            (("/a", "300", 100, 20), ("/a/b", "max", 9, 0)),
            "the limit of cgroup /a, which has 220 MiB left",
        ),
    ],
)
def test_rings_larger_than_memory_are_refused(
    tmp_path: Path, groups: tuple[tuple[str, str, int, int], ...], what: str
) -> None:
    left = 500 if not groups else 5000
    with pytest.raises(UnsupportedError) as caught:
        RingSizes(512 << 20, 16 << 20).require_memory(_machine(tmp_path, left, *groups))
    assert caught.value.message == (
        f"the ring buffers (events 512M, notes 16M) do not fit into {what}"
    )
    assert "--ring-size" in caught.value.hint
