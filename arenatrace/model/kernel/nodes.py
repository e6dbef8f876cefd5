"""Which NUMA nodes an allocation may name (arena_alloc_pages(), before anything else)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

#: Any node will do; what nearly every caller says.
NUMA_NO_NODE = -1
#: No kernel is built for more nodes than this (CONFIG_NODES_SHIFT is at most 10).
MAX_NUMNODES = 1 << 10


class NodeStatus(IntEnum):
    """What is known of a node that was asked for."""

    VALID = 0
    #: The allocation must be refused: there cannot be such a node.
    IMPOSSIBLE = 1
    #: Not recorded, or a node that may have been offline.
    UNKNOWN = 2


@dataclass(frozen=True)
class Nodes:
    """The nodes of the machine: how many there can be and which were online at the start.

    None where the trace does not say. Nodes come online and go offline, their possible number
    is fixed at boot.
    """

    nr_node_ids: int | None = None
    online: frozenset[int] | None = None

    def classify(self, node: int | None) -> NodeStatus:
        """What is known of ``node``, None where it was not recorded."""
        if node is None:
            return NodeStatus.UNKNOWN
        if node == NUMA_NO_NODE:
            return NodeStatus.VALID
        most = MAX_NUMNODES if self.nr_node_ids is None else self.nr_node_ids
        if node < 0 or node >= most:
            return NodeStatus.IMPOSSIBLE
        online = self.online is not None and node in self.online
        return NodeStatus.VALID if online else NodeStatus.UNKNOWN


#: Of a machine nothing is known of.
UNKNOWN_NODES = Nodes()
