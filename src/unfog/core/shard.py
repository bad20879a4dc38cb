"""A share of numbered work: the i-th of n runs of consecutive numbers, as jobs of an array take."""

from __future__ import annotations

import re
from dataclasses import dataclass

from unfog.errors import InputError


@dataclass(frozen=True)
class Shard:
    """The ``index``-th of ``count`` shares, counted from 1.

    Args:
        index: Which share, 1 to ``count``.
        count: Shares in all.
    """

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """The share that "i/n" names.

        >>> Shard.parse("2/4")
        Shard(index=2, count=4)

        Raises:
            InputError: It is no such text, or i is not within 1 and n.
        """
        match = re.fullmatch(r"(\d+)/(\d+)", text)
        if match is None:
            raise InputError(f"--shard is i/n, such as 1/8, not {text!r}; write it so.")
        index, count = map(int, match.groups())
        if not 1 <= index <= count:
            raise InputError(
                f"--shard is out of range: there is no shard {index} of {count}; give 1 to {count}."
            )
        return cls(index, count)

    def of(self, total: int) -> range:
        """The share's numbers among 0 to ``total`` - 1; shares differ by one number at most, are
        disjoint and together are all.

        >>> [list(Shard(i, 3).of(5)) for i in (1, 2, 3)]
        [[0], [1, 2], [3, 4]]
        """
        return range(
            (self.index - 1) * total // self.count,
            self.index * total // self.count,
        )

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"
