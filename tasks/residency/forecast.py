"""What a device will do for chains that are known beforehand: who comes, who leaves; pure, by the pool's own policy."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tasks.errors import OutOfVram
from tasks.residency.policy import Budget, Holding, Resident, needed_bytes, room_for


def forecast(budget: Budget | int, queue: Sequence[str], sizes: Mapping[str, int]) -> tuple[str, ...]:
    """One line for the budget, each model, and each use in the order of `queue`.

    A model that never fits is a line too, and ends them.
    """
    whole = budget if isinstance(budget, int) else budget.model_bytes
    lines = [f"{whole:,} bytes for models, as asked for" if isinstance(budget, int) else str(budget)]
    lines += [f"{name}: {sizes[name]:,} bytes" for name in dict.fromkeys(queue)]
    holding = Holding(whole)
    for position, name in enumerate(queue):
        try:
            holding, line = _use(holding, name, queue[position + 1 :], sizes, position)
        except OutOfVram as error:
            return (*lines, f"{position + 1}. {name} cannot be used: {error.message}")
        lines.append(f"{position + 1}. {line}; {holding.used_bytes:,} bytes are there")
    return tuple(lines)


def _use(
    holding: Holding, name: str, after: Sequence[str], sizes: Mapping[str, int], position: int
) -> tuple[Holding, str]:
    if name in holding.names:
        used = replace(holding.find(name), last_use=position)
        return holding.with_resident(used), f"{name} is there"
    needed_bytes([name], sizes, holding)
    victims = room_for(sizes[name], holding, after) or ()
    left = f", {' and '.join(victims)} leave" if victims else ""
    brought = holding.without(victims).with_resident(Resident(name, sizes[name], position))
    return brought, f"{name} comes{left}"
