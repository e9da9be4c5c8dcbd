"""Which cells a cluster gets, and what is said where none fits; pure arithmetic over nodes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cluster.fleet.nodes import NODE_ID_LABEL, POOL_LABEL, Node
from pipeline.pool import Decision
from tasks.errors import ResourceShortage

#: Processors that a cell makes use of: two leases in flight, each decoding and encoding.
CELL_CPUS = 4
#: Where networks compute on processors too, a node of as many has none to spare for handing pictures on.
NO_SPARE_CPUS = 2
#: How long a cell may wait for a node that can hold it (an autoscaler may be starting one).
PLACEMENT_SECONDS = 900.0
#: Side workers of a node without cells, and how many calls each serves at once.
SIDE_WORKERS, SIDE_CALLS = 4, 2


@dataclass(frozen=True)
class CellPlan:
    """A cell as it is asked for: what it reserves, and on which node."""

    node: Node
    kind: str
    cpus: float
    gpus: float
    "1, a share of one that other cells stand on too, or 0."

    @property
    def fused(self) -> bool:
        """One worker does all: three processes would only take turns, and pay for what passes between them.

        Measured on two processors, lip sync at 1080p: a sixth less processor time, a fifth less time.
        """
        return self.node.cpus < 2 or (not self.gpus and self.node.cpus <= NO_SPARE_CPUS)

    @property
    def bundle(self) -> dict[str, float]:
        """What it reserves, in Ray's words."""
        return {"CPU": self.cpus} | ({"GPU": self.gpus} if self.gpus else {})

    @property
    def selector(self) -> dict[str, str]:
        """Pins it to its node: a cell never moves, it ends with its node."""
        return {NODE_ID_LABEL: self.node.id}


@dataclass(frozen=True)
class Place:
    """A place that an autoscaler is asked for: what it must hold, and labels of the node that may hold it."""

    bundle: Mapping[str, float]
    selector: Mapping[str, str]


def place_of_cell(gpu: bool, gpus_per_cell: float = 1.0) -> Place:
    """A place for one cell more; a cell that computes on processors wakes no node that is marked as one for GPUs."""
    return Place({"CPU": 1.0, "GPU": gpus_per_cell}, {}) if gpu else Place({"CPU": 1.0}, {POOL_LABEL: "!gpu"})


def place_beside_cells() -> Place:
    """A place for side workers, on a node marked for them: elsewhere it could hold the processors of a cell."""
    return Place({"CPU": float(SIDE_WORKERS)}, {POOL_LABEL: "cpu"})


def wants_gpu(nodes: Sequence[Node], device: str, altering: bool) -> bool:
    """True where cells stand on GPUs: something draws, nobody asked for the CPU, and there is one."""
    return altering and (device == "cuda" or (device != "cpu" and any(node.gpus for node in nodes)))


def plan_cells(node: Node, gpu: bool, gpus_per_cell: float = 1.0) -> tuple[CellPlan, ...]:
    """The cells of one node: as many as share each GPU, or one for every four processors and never none with one.

    A GPU's cell has its share of the node's processors, at most four: what decoding and encoding need.
    """
    if node.leaves_in_seconds is not None or (gpu and not node.gpus) or node.cpus <= 0:
        return ()
    count = node.gpus * cells_on_a_gpu(gpus_per_cell) if gpu else max(1, int(node.cpus // CELL_CPUS))
    share = node.cpus / count
    cpus = float(int(min(CELL_CPUS, share))) if share >= 1 else int(share * 100) / 100
    return (CellPlan(node, node.gpu_kind if gpu else "cpu", cpus, gpus_per_cell if gpu else 0.0),) * count


def cells_on_a_gpu(gpus_per_cell: float) -> int:
    """Whole ones: of 0.4 two, and a fifth of the GPU stays for others."""
    return int(1 / gpus_per_cell + 1e-9)


def sharing(gpus_per_cell: float, gpu: bool) -> Decision:
    """What is said where cells were asked to share GPUs."""
    asked = f"--gpus-per-cell {gpus_per_cell:g}"
    if not gpu:
        return Decision("GPU share", "nothing to share", f"{asked}, but cells of this run stand on processors")
    count = cells_on_a_gpu(gpus_per_cell)
    return Decision("GPU share", f"{count} cells on each GPU", f"{asked}: each has that share of its free memory")


def side_nodes(nodes: Sequence[Node], with_cells: Sequence[str]) -> tuple[Node, ...]:
    """Nodes for work outside cells: those without a cell and a GPU; of them those marked for it, where any is."""
    fit = [n for n in nodes if n.id not in with_cells and not n.gpus and n.cpus >= 1 and n.leaves_in_seconds is None]
    marked = [node for node in fit if node.pool == "cpu"]
    return tuple(marked or fit)


def side_worker_count(node: Node) -> int:
    """One for each processor, up to four: they read and write storage more than they compute."""
    return max(1, min(SIDE_WORKERS, int(node.cpus)))


def no_gpu() -> ResourceShortage:
    """A GPU was asked for on a machine that has none."""
    return ResourceShortage(
        "--device cuda: found no GPU in this Ray cluster; expected at least one; "
        "use --device cpu, or join a cluster that has GPUs with --address"
    )


def shortage(
    nodes: Sequence[Node], free: Mapping[str, Mapping[str, float]], *, gpus: float, device: str, waited_seconds: float
) -> ResourceShortage:
    """Why no cell of `gpus` could be placed: needed, found, and remedies, the likeliest first."""
    needed, gpu = ({"GPU": gpus} if gpus else {}) | {"CPU": 1.0}, gpus > 0
    words = " and ".join(f"{amount:g} {name}" for name, amount in needed.items())
    holders = [n for n in nodes if n.leaves_in_seconds is None and (n.gpus or not gpu) and n.cpus >= 1]
    found = "; ".join(_node_words(node, free.get(node.id, {}), gpu) for node in nodes[:4]) or "no node"
    more = f"; and {len(nodes) - 4} nodes more" if len(nodes) > 4 else ""
    remedies = []
    if holders:
        remedies.append("wait for the other jobs that hold them, or end them (`ray status` shows what is in use)")
    remedies.append(
        f"add a node with {words}" + ("" if holders else ", or let the autoscaler of the cluster start such nodes")
    )
    if gpu:
        remedies.append("use --device cpu")
    asked = f"--device {device}: " if device != "auto" else ""
    return ResourceShortage(
        f"{asked}no cell could be placed in {waited_seconds:.0f} s: needed {words} free together on one node, "
        f"found {found}{more}; {'; or '.join(remedies)}"
    )


def _node_words(node: Node, free: Mapping[str, float], gpu: bool) -> str:
    totals = {"CPU": node.cpus, **({"GPU": float(node.gpus)} if gpu else {})}
    parts = [f"{free.get(name, 0.0):g} of {total:g} {name}" for name, total in totals.items()]
    leaving = ", being drained" if node.leaves_in_seconds is not None else ""
    return f"node {node.name}: {', '.join(parts)} free{leaving}"
