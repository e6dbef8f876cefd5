"""The lab by hand: `python -m tests.vm.lab --help`."""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.vm.lab.errors import LabError
from tests.vm.lab.images.cache import Cache, cache_root
from tests.vm.lab.images.image import image_is_ready
from tests.vm.lab.images.kernel_choice import TESTED
from tests.vm.lab.job import command_line
from tests.vm.lab.lab import CHECKOUT, TIMEOUT, Lab
from tests.vm.lab.machine import Machine, RunFiles, qemu_command
from tests.vm.lab.requirements import unmet

LAB_FAILED = 125  # as in docker and git bisect: not the exit status of the command

EPILOG = """\
examples:
  python -m tests.vm.lab build                          # once; later runs use the cache
  python -m tests.vm.lab run -- uname -r
  python -m tests.vm.lab run --kernel 7.3 -- uname -r
  python -m tests.vm.lab run --out /tmp/got -- bash -c 'bpftool prog > $LAB_OUT/progs'
  python -m tests.vm.lab run --file capture.sh -- bash files/capture.sh
  python -m tests.vm.lab run --icount -- make -C workload bench
  python -m tests.vm.lab prepare mod -- make            # prints where the result is
  python -m tests.vm.lab shell

A run's exit status is the command's; 125 means that the lab itself failed or
the VM was lost. In the guest: cwd /job, $LAB_OUT, $LAB_FILES, $LAB_WORKLOAD,
$LAB_KERNEL (its release).
"""


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand and returns the exit status."""
    args = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = args.run_subcommand
    try:
        _require()
        return command(args)
    except LabError as problem:
        print(f"lab: {problem}", file=sys.stderr)
        return LAB_FAILED
    except KeyboardInterrupt:
        return 130


def _require() -> None:
    cache = Cache(cache_root())
    missing = unmet(cache.root, image_ready=image_is_ready(cache, CHECKOUT))
    if missing:
        raise LabError("; ".join(missing))


def _build(args: argparse.Namespace) -> int:
    cache = Cache(cache_root())
    if args.fresh:
        cache.discard_all()
    began = time.monotonic()
    lab = _lab(args)
    accel = lab.accel(lab.machine)
    images = [lab.image_of(kernel) for kernel in TESTED] if args.all else [lab.image]
    took = time.monotonic() - began
    for image in images:
        print(f"{image.disk.parent}: Linux {image.release}, {accel} ({took:.1f} s)")
    return 0


def _run(args: argparse.Namespace) -> int:
    lab = _lab(args)
    if args.dry_run:
        run = RunFiles(lab.cache.root / "runs" / "RUN")
        command = qemu_command(lab.machine, lab.image, run, lab.accel(lab.machine))
        print(shlex.join(command))
        return 0
    with tempfile.TemporaryDirectory(prefix="arenatrace-vm-") as scratch:
        result = lab.run(
            args.command,
            files=args.file,
            timeout=args.timeout,
            out_dir=args.out or Path(scratch),
            echo=_echo,
        )
        if args.out is None and any(result.out_dir.iterdir()):
            print("lab: $LAB_OUT was dropped; --out DIR saves it", file=sys.stderr)
    return result.returncode


def _prepare(args: argparse.Namespace) -> int:
    print(_lab(args).prepare(args.source, command_line(args.command)))
    return 0


def _shell(args: argparse.Namespace) -> int:
    return _lab(args).shell(files=args.file, out_dir=args.out)


def _echo(port: str, data: bytes) -> None:
    stream = sys.stdout if port == "stdout" else sys.stderr
    stream.buffer.write(data)
    stream.flush()


def _lab(args: argparse.Namespace) -> Lab:
    machine = Machine(
        smp=getattr(args, "smp", Machine.smp),
        memory_mib=getattr(args, "memory", Machine.memory_mib),
        append=getattr(args, "append", Machine.append),
        icount=getattr(args, "icount", Machine.icount),
        kernel=args.kernel,
        hidden=tuple(getattr(args, "hide", Machine.hidden)),
    )
    with_project = not getattr(args, "no_project", False)
    return Lab(Path(), machine=machine, with_project=with_project)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.vm.lab",
        description="Run commands on a real kernel in a virtual machine.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    subcommands = parser.add_subparsers(required=True, metavar="build | run | prepare | shell")
    build = subcommands.add_parser("build", help="build the missing layers of the guest")
    _add_kernel(build)
    build.add_argument(
        "--fresh", action="store_true", help="empty the cache first: the newest packages"
    )
    build.add_argument("--all", action="store_true", help="the guests of all tested kernels")
    build.set_defaults(run_subcommand=_build)
    run = subcommands.add_parser("run", help="run one command in a fresh guest")
    _add_guest_options(run)
    run.add_argument(
        "--timeout",
        type=float,
        default=TIMEOUT,
        metavar="S",
        help="seconds for the whole guest (default %(default)g)",
    )
    run.add_argument("--dry-run", action="store_true", help="print the QEMU command only")
    run.add_argument("command", nargs="+", metavar="CMD", help="command and arguments, after --")
    run.set_defaults(run_subcommand=_run)
    prepare = subcommands.add_parser(
        "prepare", help="build a directory with the guest's tools at the host's speed"
    )
    _add_kernel(prepare)
    prepare.add_argument("source", type=Path, metavar="SRC", help="directory; CMD runs in a copy")
    prepare.add_argument(
        "command", nargs="+", metavar="CMD", help="command and arguments, after --"
    )
    prepare.set_defaults(run_subcommand=_prepare)
    shell = subcommands.add_parser("shell", help="a shell in a fresh guest, on this terminal")
    _add_guest_options(shell)
    shell.set_defaults(run_subcommand=_shell)
    return parser


def _add_kernel(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--kernel",
        default=Machine.kernel,
        metavar="VERSION",
        help="prefix of its version, such as 7.3 or 6.12 (default: sid's own)",
    )


def _add_guest_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    _add_kernel(parser)
    add("--smp", type=int, default=Machine.smp, metavar="N", help="CPUs (default %(default)s)")
    add(
        "--memory",
        type=int,
        default=Machine.memory_mib,
        metavar="MIB",
        help="memory in MiB (default %(default)s)",
    )
    add("--icount", action="store_true", help="guest time counts instructions; one CPU, TCG")
    add(
        "--hide",
        action="append",
        default=[],
        metavar="FEATURE",
        help="a feature that the emulated CPU does not report, such as erms; repeatable",
    )
    add(
        "--append",
        default="",
        metavar="ARGS",
        help="additional arguments of the kernel command line",
    )
    add(
        "--file",
        type=Path,
        action="append",
        default=[],
        metavar="SRC",
        help="file or directory that appears in $LAB_FILES; repeatable",
    )
    add("--out", type=Path, metavar="DIR", help="copy $LAB_OUT there")
    add("--no-project", action="store_true", help="leave arenatrace out")


if __name__ == "__main__":
    sys.exit(main())
