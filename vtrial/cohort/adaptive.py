"""Doses that adapt within a patient: an arm's policy run along the patient's own path, and the ledger of it.

All times of decisions are known before. The whole event table is solved once more after each decision, with the doses
that follow it changed; the path up to a decision does not depend on later doses, so that nothing looks ahead.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from vtrial.cohort.course import Treatment
from vtrial.design import Arm
from vtrial.dosing import AbstractPolicy, AbstractRegimen, Decision, EventTable, Kind, Order, Past, given_only
from vtrial.model import AbstractModel

LEDGER: Mapping[str, str] = {
    "observed": "What a policy saw at a decision; not a number: nothing, or there is no such decision",
    "before": "Doses up to a decision, as a multiple of the regimen's",
    "after": "Doses after a decision, as a multiple of the regimen's; 0: none",
    "level": "Level after a decision, at which doses go on after a hold, as a multiple of the regimen's",
}
"""What is kept of every decision."""
HYPOTHETICAL = "hypothetical_"
"""Before names of the ledger: on the path on which nothing happens that ends treatment."""

type Solved = Callable[[EventTable], tuple[Int[Array, ""], dict[str, Array]]]
"""Returns result code and true outputs under an event table."""
type Observe = Callable[[Mapping[str, Array]], Float[Array, " decision"]]
"""Returns what is seen at the times of all decisions on a path."""


class Prescription(eqx.Module):
    """A policy beside the event table whose doses it changes, for one patient."""

    policy: AbstractPolicy
    unit: str = eqx.field(static=True)
    """Of what is seen."""
    order: Order = eqx.field(static=True)
    """One of the doses that change."""
    time: Float[np.ndarray, " decision"]
    which: Int[Array, " record"]
    """How many decisions each entry of the table follows; 0 for those that no decision changes."""
    amount: Float[Array, " decision"]
    """The regimen's own first dose after each decision, in the unit of its state."""

    def given(self, table: EventTable, factor: Float[Array, " factor"]) -> EventTable:
        """Return the table with the doses times `factor`: entry 0 before the first decision, entry k after k."""
        return given_only(table, factor[self.which])


def prescription(
    policy: AbstractPolicy, model: AbstractModel, regimen: AbstractRegimen, table: EventTable, taken: EventTable
) -> Prescription:
    """Return which decision each dose follows, and what the regimen gives next.

    Args:
        policy: of the arm.
        model: whose states are dosed into.
        regimen: of the arm.
        table: its doses as prescribed.
        taken: the same doses when they are really taken, which says what a decision comes too late for.
    """
    orders, effective = policy.doses.orders(model, regimen), policy.monitor.effective(model)
    start, state, kind = (np.asarray(x) for x in (table.start, table.state, table.kind))
    # A steady state before the trial is the regimen's own, as it was.
    changes = np.isin(state, [order.record.state for order in orders])
    changes &= np.isin(kind, (Kind.BOLUS, Kind.START, Kind.END))
    follows = jnp.searchsorted(jnp.asarray(effective), jnp.asarray(taken.start), side="right")
    after = [np.flatnonzero(changes & (start >= time)) for time in effective]
    first = np.array([entries[np.argmin(start[entries])] for entries in after])
    return Prescription(
        policy=policy,
        unit=policy.monitor.unit(model),
        order=orders[0],
        time=policy.monitor.times(model),
        which=jnp.where(changes, follows, 0),
        amount=jnp.asarray(table.given_amount)[first],
    )


class _State(eqx.Module):
    """What the loop over decisions carries: the ledger so far, and the path under it."""

    observed: Float[Array, " decision"]
    before: Float[Array, " decision"]
    levels: Float[Array, " factor"]
    """Entry k up to decision k, that is, after decision k - 1; not a number where it is not known yet."""
    factor: Float[Array, " factor"]
    held: Bool[Array, ""]
    code: Int[Array, ""]
    true: dict[str, Array]


def adapt(
    given: Prescription, table: EventTable, solved: Solved, observe: Observe, ends: Float[Array, ""] | float = np.inf
) -> tuple[Int[Array, ""], dict[str, Array], dict[str, Float[Array, " decision"]]]:
    """Return result code, true outputs and ledger of a patient whose doses follow the policy.

    The outputs are not numbers if the solve after any decision failed.

    Args:
        given: the policy.
        table: the event table; a dose that is not taken is 0 there, and stays so.
        solved: solves it.
        observe: sees what the policy sees.
        ends: time from which on nothing is seen, and nothing decided.
    """
    count = len(given.time)

    def step(state: _State, number: Int[Array, ""]) -> tuple[_State, None]:
        code, true = solved(given.given(table, state.factor))
        seen = jnp.where(jnp.asarray(given.time) < ends, observe(true), jnp.nan)
        now = jnp.minimum(number, count - 1)
        past = Past(now, given.time, _until(now, seen), _until(now, state.levels[:-1]), state.held)
        decision = _decided(given, past)
        after = jnp.where(decision.held, 0.0, decision.level)
        # The last round only solves: there is no decision of its number, and nothing is written.
        return _State(
            observed=state.observed.at[number].set(seen[now], mode="drop"),
            before=state.before.at[number].set(state.factor[number], mode="drop"),
            levels=state.levels.at[number + 1].set(decision.level, mode="drop"),
            factor=jnp.where(jnp.arange(count + 1) > number, after, state.factor),
            held=decision.held,
            code=jnp.maximum(state.code, code),
            true=true,
        ), None

    unknown = jnp.full(count, jnp.nan)
    blank = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(solved, table))
    ones, levels = jnp.ones(count + 1), jnp.full(count + 1, jnp.nan).at[0].set(1.0)
    start = _State(unknown, unknown, levels, ones, jnp.asarray(False), *blank)
    found, _ = jax.lax.scan(step, start, jnp.arange(count + 1))
    values = (found.observed, found.before, found.factor[1:], found.levels[1:])
    true = {o: jnp.where(found.code == 0, y, jnp.nan) for o, y in found.true.items()}
    return found.code, true, dict(zip(LEDGER, values, strict=True))


def repeat(
    given: Prescription, table: EventTable, solved: Solved, after: Float[Array, " decision"]
) -> tuple[Int[Array, ""], dict[str, Array]]:
    """Return result code and true outputs under the doses of a ledger, as a fixed table: nothing is decided."""
    return solved(given.given(table, jnp.concatenate([jnp.ones(1), after])))


def ledger_names(arms: Iterable[Arm], course: Treatment) -> tuple[str, ...]:
    """Return the names of what is kept of every decision; none if no arm has a policy."""
    if all(arm.policy is None for arm in arms):
        return ()
    return (*LEDGER, *(HYPOTHETICAL + name for name in LEDGER if course.events))


def follow(
    given: Prescription,
    table: EventTable,
    solved: Solved,
    observe: Observe,
    ends: Float[Array, ""] | float,
    ledger: Mapping[str, Array],
    prefix: str,
) -> tuple[Int[Array, ""], dict[str, Array], dict[str, Array]]:
    """Adapt doses, or where there is a ledger repeat its own; names of the ledger begin with `prefix`."""
    if ledger:
        kept = {name: ledger[prefix + name][: len(given.time)] for name in LEDGER}
        code, true = repeat(given, table, solved, kept["after"])
    else:
        code, true, kept = adapt(given, table, solved, observe, ends)
    return code, true, {prefix + name: value for name, value in kept.items()}


def padded(ledger: Mapping[str, Float[Array, " decision"]], names: tuple[str, ...], count: int) -> dict[str, Any]:
    """Return a ledger of `count` decisions, of which those that an arm does not have are not numbers."""
    unknown = jnp.full(count, jnp.nan)
    return {n: unknown.at[: len(ledger[n])].set(ledger[n]) if n in ledger else unknown for n in names}


def _until(now: Int[Array, ""], values: Float[Array, " decision"]) -> Float[Array, " decision"]:
    """Return what is known at a decision."""
    return jnp.where(jnp.arange(len(values)) <= now, values, jnp.nan)


def _decided(given: Prescription, past: Past) -> Decision:
    """Return the policy's decision, as far as it can be given; none where nothing is seen."""
    found = given.policy.decide(past, given.unit)
    possible = given.policy.doses.possible(found.level, given.amount[past.number], given.order)
    level = jnp.where(found.level == past.level, past.level, possible)
    missing = jnp.isnan(past.latest)
    return Decision(jnp.where(missing, past.level, level), jnp.where(missing, past.held, found.held))
