"""Amounts over time in a bounded number of bins, and over the last seconds; pure, time is passed in."""

from collections import deque


class Bins:
    """A curve of any length: when it outgrows its bins they are merged in pairs, so no amount is lost."""

    def __init__(self, limit: int = 240, width_seconds: float = 1.0) -> None:
        self.width_seconds = width_seconds
        self.amounts: list[float] = []
        self._limit = limit

    def add(self, start: float, end: float, amount: float) -> None:
        """`amount` spread evenly over [start, end), seconds from the start of the run."""
        start = max(0.0, start)
        end = max(start, end)
        while end >= self._limit * self.width_seconds:
            self._widen()
        first, last = int(start / self.width_seconds), int(end / self.width_seconds)
        self.amounts.extend([0.0] * (last + 1 - len(self.amounts)))
        if first == last:
            self.amounts[first] += amount
            return
        for number in range(first, last + 1):
            edges = max(start, number * self.width_seconds), min(end, (number + 1) * self.width_seconds)
            self.amounts[number] += amount * (edges[1] - edges[0]) / (end - start)

    def _widen(self) -> None:
        pairs = [*self.amounts, 0.0]
        self.amounts = [pairs[i] + pairs[i + 1] for i in range(0, len(self.amounts), 2)]
        self.width_seconds *= 2

    def at_width(self, width_seconds: float) -> list[float]:
        """The amounts in bins of a multiple (by a power of two) of the own width."""
        step = max(1, round(width_seconds / self.width_seconds))
        return [sum(self.amounts[i : i + step]) for i in range(0, len(self.amounts), step)]


class Recent:
    """Amount a second over the last `window_seconds`."""

    def __init__(self, window_seconds: int = 30) -> None:
        self._window = window_seconds
        self._seconds: deque[tuple[int, float]] = deque()
        self._total = 0.0
        self._first: float | None = None

    def add(self, at: float, amount: float, since: float | None = None) -> None:
        """`amount` at a time; `since` says when the first of all began."""
        if self._first is None:
            self._first = at if since is None else since
        second = int(at)
        if self._seconds and self._seconds[-1][0] >= second:
            second, before = self._seconds.pop()
            self._seconds.append((second, before + amount))
        else:
            self._seconds.append((second, amount))
        self._total += amount
        self._forget(at)

    def rate(self, now: float) -> float:
        """0 where nothing was added within the window."""
        self._forget(now)
        if self._first is None or not self._seconds:
            return 0.0
        return self._total / max(1.0, min(float(self._window), now - self._first))

    def _forget(self, now: float) -> None:
        while self._seconds and self._seconds[0][0] < now - self._window:
            self._total -= self._seconds.popleft()[1]
