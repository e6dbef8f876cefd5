"""NUMA nodes that an allocation may request (the first check in arena_alloc_pages())."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

#: Any node. Nearly every caller passes this.
NUMA_NO_NODE = -1
#: Most nodes of any kernel build (CONFIG_NODES_SHIFT is at most 10).
MAX_NUMNODES = 1 << 10


class NodeStatus(IntEnum):
    """Whether an allocation may request a node."""

    VALID = 0
    #: The node cannot exist: the allocation must be refused.
    IMPOSSIBLE = 1
    #: The node was not recorded, or may have been offline.
    UNKNOWN = 2


@dataclass(frozen=True)
class Nodes:
    """NUMA nodes of the machine: their possible number, and the nodes online at the start.

    None where the trace lacks it. The possible number is fixed at boot; nodes come online and
    go offline.
    """

    nr_node_ids: int | None = None
    online: frozenset[int] | None = None

    def classify(self, node: int | None) -> NodeStatus:
        """Return the status of ``node``. None means that the node was not recorded."""
        if node is None:
            return NodeStatus.UNKNOWN
        if node == NUMA_NO_NODE:
            return NodeStatus.VALID
        most = MAX_NUMNODES if self.nr_node_ids is None else self.nr_node_ids
        if node < 0 or node >= most:
            return NodeStatus.IMPOSSIBLE
        online = self.online is not None and node in self.online
        return NodeStatus.VALID if online else NodeStatus.UNKNOWN


#: Nodes of an unknown machine.
UNKNOWN_NODES = Nodes()
