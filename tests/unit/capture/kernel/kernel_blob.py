"""Kernel BTF with everything that the probes need, minus the parts a test leaves out."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from arenatrace.capture.kernel.btf import Btf
from arenatrace.capture.kernel.probe_points import POINTS
from arenatrace.capture.kernel.struct_offsets import MEMBERS
from tests.unit.capture.kernel.btf_blob import Blob

Path = tuple[str, ...]


def kernel(
    *,
    without: Collection[tuple[str, Path]] = (),
    functions: Mapping[str, tuple[str, ...] | None] | None = None,
    map_bits: int = 0,
) -> Btf:
    """BTF with every member but ``without`` and with ``functions`` changed (None: gone).

    Member n of a structure, counted from 1 in the order of MEMBERS, is at byte 8 * n.
    """
    blob = Blob()
    integer = blob.integer()
    tree: dict[str, dict[str, list[str]]] = {"bpf_arena": {"map": []}}
    for struct_name, path in MEMBERS:
        if (struct_name, path) not in without:
            inner = tree.setdefault(struct_name, {"__before": []}).setdefault(path[0], [])
            inner += path[1:]
    for struct_name, members in tree.items():
        rows = []
        for n, (name, inner) in enumerate(members.items()):
            kind = (
                blob.struct("", [(text, integer, 64 * i) for i, text in enumerate(inner)])
                if inner
                else integer
            )
            rows.append((name, kind, map_bits if name == "map" else 64 * n))
        blob.struct(struct_name, rows)
    wanted: dict[str, tuple[str, ...] | None] = {point.function: point.params for point in POINTS}
    for function, params in {**wanted, **(functions or {})}.items():
        if params is not None:
            blob.function(function, params)
    return Btf(blob.encode())
