"""The regimen interface: orders, which become dose records, which become an event table."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from vtrial import units
from vtrial._types import Named, Values
from vtrial.dosing.amount import AbstractAmount
from vtrial.dosing.records import After, Dose, event_table, rounded
from vtrial.dosing.table import EventTable
from vtrial.errors import UserError, nearest
from vtrial.model import AbstractModel

_NOBODY: Mapping[str, float] = MappingProxyType({})


class Order(NamedTuple):
    """One dose record, in the model's units, and how much of it each patient gets."""

    record: Dose
    """With the amount that everybody gets; with amount 1 where it goes by covariates."""
    amount: AbstractAmount
    unit: str
    """Unit in which the amount is worked out: the state's, or a mass where a molar mass leads to it."""
    factor: float
    """From that unit to the state's."""

    def after(self, delay: float) -> "Order":
        """Return the same order, given later."""
        return self._replace(record=self.record._replace(time=rounded(self.record.time + delay)))


class AbstractRegimen(eqx.Module):
    """What a patient is given, and when; time 0 is the start of the trial."""

    @abstractmethod
    def orders(self, model: AbstractModel) -> list[Order]:
        """Return all doses; raises `UserError` where something does not fit the model."""

    @abstractmethod
    def length(self, model: AbstractModel) -> float:
        """Return the time at which the regimen is over and another one may go on, in the model's unit."""

    @abstractmethod
    def describe(self) -> str:
        """Say the regimen in words."""

    def records(
        self, model: AbstractModel, samples: Sequence[After | float], covariates: Named = _NOBODY
    ) -> EventTable:
        """Return one patient's event table: these doses and samples (the model's time unit).

        A sample at the hour of a dose is taken before it, the first dose included, unless it is an `After`. Patients
        differ in amounts alone, so that the table may be built inside `jit` and mapped over them.

        Args:
            model: the model.
            samples: times of the samples.
            covariates: the patient's baseline covariates, traced or not; unused where amounts do not go by them.
        """
        orders = self.orders(model)
        table = event_table([*samples, *(order.record for order in orders)], states=len(model.states))
        if not any(order.amount.covariates for order in orders):
            return table
        which = event_table([*samples, *_numbered(orders)], states=len(model.states))
        factor = jnp.stack([jnp.ones(()), *(_factor(order, covariates) for order in orders)])
        entry, steady = (factor[np.asarray(x).astype(int)] for x in (which.given_amount, which.steady_amount))
        return eqx.tree_at(
            lambda t: (t.amount, t.rate, t.given_amount, t.steady_amount),
            table,
            (table.amount * entry, table.rate * entry, table.given_amount * entry, table.steady_amount * steady),
        )

    def check_covariates(self, model: AbstractModel, known: Mapping[str, str]) -> None:
        """Check that the covariates amounts go by are known, in the same unit.

        Raises:
            UserError: one is missing or in another unit.
        """
        for name, unit in [pair for order in self.orders(model) for pair in order.amount.covariates.items()]:
            if name not in known:
                raise UserError(
                    f"The dose goes by covariate {name}, which the dataset does not have; add it to data.covariates. "
                    f"{nearest(name, known)}"
                )
            if units.factor(known[name], unit, where=f"Covariate {name} of the data") != 1.0:
                raise UserError(
                    f"Covariate {name} is in '{known[name]}' in the data, but the dose takes it in '{unit}'; bring the "
                    "two to one unit."
                )

    def check_patients(self, model: AbstractModel, covariates: Values) -> None:
        """Check the doses of many patients, given their covariates as arrays of one shape.

        Raises:
            UserError: somebody's dose is nothing, negative, or no number.
        """
        for order in self.orders(model):
            if not (names := order.amount.covariates):
                continue
            own = {name: jnp.ravel(jnp.asarray(covariates[name])) for name in names}
            found = np.asarray(jax.vmap(partial(order.amount.value, order.unit))(own))
            wrong = np.flatnonzero(~(np.isfinite(found) & (found > 0)))
            if len(wrong):
                who = ", ".join(f"{name} {own[name][wrong[0]]:g} {unit}" for name, unit in names.items())
                raise UserError(
                    f"A patient with {who} is given {found[wrong[0]]:g} {order.unit} by "
                    f"'{order.amount.describe()}'; correct the covariate, or give the dose a `least`."
                )


def _numbered(orders: Sequence[Order]) -> list[Dose]:
    """Return the records with their numbers, from 1, for amounts: the table then says which entry is of which order.

    An infusion of given rate keeps its time, and one of modelled rate or duration its code, so that the entries are
    those of the true table.
    """
    return [
        d._replace(amount=i, rate=min(d.rate, 0.0), duration=d.amount / d.rate if d.rate > 0 else d.duration)
        for i, d in enumerate((order.record for order in orders), 1)
    ]


def _factor(order: Order, covariates: Named):
    """Return what the patient gets for each unit of the amount in the record."""
    if not order.amount.covariates:
        return jnp.ones(())
    return order.factor * jnp.asarray(order.amount.value(order.unit, covariates), float)
