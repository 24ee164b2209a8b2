"""Crossover designs: every patient is given several arms, one after the other."""

from collections.abc import Mapping, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key

from vtrial.design.base import AbstractDesign, Arm, DesignState, Look, Seen, chosen, fresh
from vtrial.design.parallel import check_arms
from vtrial.design.timing import AbstractTiming, AfterEach
from vtrial.errors import UserError, nearest


def williams(arms: int) -> tuple[tuple[int, ...], ...]:
    """Return the sequences of a Williams design: each arm is in each period, and follows each other arm, equally often.

    As many sequences as arms if their number is even, twice as many if it is odd; of two arms it is the 2x2 crossover.

    Source: Williams 1949, doi:10.1071/CH9490149.
    """
    first = [0]
    for step in range(1, arms):
        first.append((first[-1] + (step if step % 2 else -step)) % arms)
    square = [tuple((arm + shift) % arms for arm in first) for shift in range(arms)]
    return tuple(square if arms % 2 == 0 else square + [row[::-1] for row in square])


class Crossover(AbstractDesign):
    """Each patient is randomised to a sequence of arms, one for each period; one look at the end.

    Sequences left out are those of a Williams design: of two arms the 2x2 crossover. Replicate designs are written out,
    as test-reference-test-reference and reference-test-reference-test.
    """

    names: tuple[str, ...] = eqx.field(static=True)
    arms: tuple[Arm, ...]
    sizes: tuple[int, ...] = eqx.field(static=True)
    periods: int = eqx.field(static=True)
    spacing: str = eqx.field(static=True)
    timing: AbstractTiming
    per_sequence: int = eqx.field(static=True)
    """Patients in each sequence."""
    sequences: tuple[tuple[int, ...], ...] = eqx.field(static=True)
    """Arm number by sequence and period."""

    def __init__(
        self,
        arms: Mapping[str, Arm],
        per_sequence: int,
        spacing: str,
        sequences: Sequence[Sequence[str]] | None = None,
    ):
        """Keep the arms in the order they are written.

        Args:
            arms: by name.
            per_sequence: patients in each sequence.
            spacing: time from the start of one period to the start of the next, with its unit.
            sequences: names of the arms, by sequence and period; left out, a Williams design.

        Raises:
            UserError: fewer than two arms, nobody in a sequence, sequences of unequal length, or an unknown arm.
        """
        check_arms(arms)
        if len(arms) < 2:
            raise UserError("A crossover design needs at least two arms; use design=parallel for one.")
        if per_sequence < 1:
            raise UserError(f"design.per_sequence must be at least 1, not {per_sequence}.")
        self.names, self.arms = tuple(arms), tuple(arms.values())
        self.sequences = williams(len(arms)) if sequences is None else _numbered(sequences, self.names)
        self.periods, self.spacing, self.timing = len(self.sequences[0]), spacing, AfterEach()
        self.per_sequence, self.sizes = per_sequence, (per_sequence * len(self.sequences),)

    def init(self) -> DesignState:
        """Start with nothing selected."""
        return fresh(len(self.arms))

    def allocate(self, key: Key[Array, ""], state: DesignState, seen: Seen, n: int) -> Int[Array, "{n} period"]:
        """Shuffle equal numbers of every sequence."""
        place = jax.random.permutation(key, jnp.arange(n) % len(self.sequences))
        return jnp.asarray(self.sequences)[place]

    def decide(self, key: Key[Array, ""], state: DesignState, look: Look) -> DesignState:
        """Select the best arm seen, by lot among equals; an unknown one cannot win. Reject by the two-sided p."""
        return DesignState(
            selected=chosen(key, look.merit),
            stopped=jnp.asarray(True),
            rejected=look.comparison.p < look.alpha,
            reason=jnp.asarray(0),
        )

    def describe(self) -> str:
        """Say sequences and sizes."""
        said = ", ".join("-".join(self.names[arm] for arm in row) for row in self.sequences)
        return (
            f"crossover of {self.periods} periods, {self.spacing} from one to the next, {self.per_sequence} patients "
            f"in each sequence: {said}"
        )


def _numbered(sequences: Sequence[Sequence[str]], names: tuple[str, ...]) -> tuple[tuple[int, ...], ...]:
    """Return the arm numbers of sequences written with names."""
    lengths = {len(row) for row in sequences}
    if len(lengths) != 1 or lengths.pop() < 2:
        raise UserError("design.sequences must all have the same number of periods, two or more.")
    for name in (name for row in sequences for name in row):
        if name not in names:
            raise UserError(f"design.sequences has '{name}', which is no arm. {nearest(name, names)}")
    unused = [name for name in names if not any(name in row for row in sequences)]
    if unused:
        raise UserError(f"design.sequences never give arm '{unused[0]}'; add it to a sequence, or remove the arm.")
    return tuple(tuple(names.index(name) for name in row) for row in sequences)
