"""Which nodes of a graph compute on channels-last arrays: as many as need be for the fewest transposes."""

from __future__ import annotations

from collections.abc import Mapping

from torch.fx import Graph, Node

from translator.hierarchy import is_item, is_size
from translator.layout_orders import Order, is_tensor, torchs, wide
from translator.layout_rules import ANCHORS, PERMUTES, Move, Orders, move
from translator.lower import packet


class Plan:
    """Which nodes compute on stored arrays, and how.

    stays: the nodes that must not. wanted: the order of what further nodes give, whatever what they read is stored in.
    shapes: those of all arrays, in torch's order.
    """

    def __init__(self, graph: Graph, stays: set[Node], wanted: Mapping[Node, Order]):
        self.graph, self.stays, self.wanted = graph, stays, wanted
        self.moves: dict[Node, Move] = {}
        self.orders = Orders()
        for node in graph.nodes:
            if node.op == "call_function" and (node not in stays or is_item(node)):
                self._add(node)
        self.shapes = {node: tuple(node.meta["val"].shape) for node in graph.nodes if is_tensor(node)}

    def _add(self, node: Node) -> None:
        if is_item(node):
            source = self.moves.get(node.args[0])
            order = source.order.get(node.args[1]) if source is not None and isinstance(source.order, dict) else None
        else:
            found, order = move(node, self._known(node), self.wanted.get(node)), None
            if found is not None:
                self.moves[node] = found
                order = found.order if is_tensor(node) else None
        if order is not None and order != torchs(len(order)):
            self.orders[node] = order

    def _known(self, node: Node) -> Orders:
        """The orders of what a node reads; those of a node that is to give a certain one are taken to be that."""
        if node not in self.wanted or packet(node) == "einsum":
            return self.orders
        order = self.wanted[node]
        images = [x for x in node.all_input_nodes if is_tensor(x) and x.meta["val"].ndim == len(order)]
        return Orders({**self.orders, **{x: order for x in images if x not in self.orders}})

    def reads(self, node: Node) -> dict[Node, Order]:
        """The order in which a node takes each array that it reads."""
        found = self.moves[node].reads if node in self.moves else {}
        return {x: found.get(x, torchs(x.meta["val"].ndim)) for x in node.all_input_nodes if is_tensor(x)}

    def transposes(self) -> dict[tuple[Node, Order], list[Node]]:
        """Each array with each other order in which it is read, and the nodes that do so; not those where nothing would move."""
        found: dict[tuple[Node, Order], list[Node]] = {}
        for node in self.graph.nodes:
            for x, order in self.reads(node).items() if not is_item(node) else ():
                shape = self.shapes[x]
                lacking = len(order) - len(shape)
                whole = (1,) * lacking + shape
                held = [axis + lacking for axis in wide(shape, self.orders.of(x))]
                if held != wide(whole, order):
                    found.setdefault((x, order), []).append(node)
        return found

    def parts(self) -> list[set[Node]]:
        """The nodes that compute on stored arrays, those that hand them to each other in one set."""
        part: dict[Node, set[Node]] = {}
        for node in [*self.moves, *self.orders]:
            handed = [x for x in node.all_input_nodes if x in self.orders or is_item(node)]
            joined = {node}.union(*(part.get(x, ()) for x in (node, *handed)))
            for member in joined:
                part[member] = joined
        return list({id(nodes): nodes for nodes in part.values()}.values())

    def cost(self) -> int:
        """How many transposes there are, those of the module's own included."""
        own = [node for node in self.graph.nodes if packet(node) in PERMUTES and node not in self.moves]
        return len(self.transposes()) + len(own)

    def takers(self, node: Node) -> list[Node]:
        """What takes a node's result on as it is stored."""
        return [user for user in node.users if user in self.moves or user in self.orders]

    def tail(self, node: Node) -> set[Node]:
        """A node and all that its result is taken on to."""
        found, waiting = set(), [node.args[0] if is_item(node) else node]
        while waiting:
            now = waiting.pop()
            found.add(now)
            waiting += [user for user in self.takers(now) if user not in found]
        return found


def plan(graph: Graph, stays: set[Node]) -> Plan:
    """stays: the nodes that must have their arrays in torch's order."""
    found = Plan(graph, stays, {})
    while useless := _useless(found):
        found = Plan(graph, found.stays | useless, {})
    return _entered_early(_left_early(found))


def _left_early(found: Plan) -> Plan:
    """Go back to torch's order before a value is taken apart, where all of its parts would have to."""
    needed: set[Node] = set()  # of a convolution
    for node in reversed(found.graph.nodes):
        if node.target in ANCHORS or any(user in needed for user in found.takers(node)):
            needed.add(node)
    tried = set(needed)
    for node in list(found.orders):
        if node in tried or node not in found.orders:
            continue
        tail = found.tail(node)
        tried |= tail
        if tail & needed or sum(x in tail for x, _ in found.transposes()) < 2:
            continue
        other = Plan(found.graph, found.stays | tail, found.wanted)
        found = other if other.cost() < found.cost() else found
    return found


def _entered_early(found: Plan) -> Plan:
    """Transpose what a node reads rather than what it gives, where nothing else reads that."""
    while True:
        for (x, order), readers in found.transposes().items():
            own = x.op == "call_function" and x not in found.orders and x not in found.stays and not is_item(x)
            if not own or not {user for user in x.users if not is_size(user)} <= set(readers):
                continue
            other = Plan(found.graph, found.stays, {**found.wanted, x: order})
            if other.orders.get(x) == order and other.cost() <= found.cost():
                found = other
                break
        else:
            return found


def _useless(plan: Plan) -> set[Node]:
    """The nodes of parts without a convolution that have no fewer transposes than they had."""
    transposes = plan.transposes()
    found: set[Node] = set()
    for part in plan.parts():
        if any(node.target in ANCHORS for node in part):
            continue
        before = sum(plan.moves[node].alias for node in part if node in plan.moves)
        after = sum(x in part or any(reader in part for reader in readers) for (x, _), readers in transposes.items())
        if after >= before:
            found |= part
    return found
