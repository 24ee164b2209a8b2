"""The link from an endpoint to an outcome of a larger trial: what a meta-regression of trials says of its risk."""

from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float, Key

from vtrial import keys, schema, units
from vtrial._types import Values, texts
from vtrial.design import AbstractDesign
from vtrial.endpoint import AbstractEndpoint
from vtrial.errors import UserError, nearest
from vtrial.model import AbstractModel
from vtrial.population import AbstractPrior
from vtrial.statistics.sample_size import check_error, for_risk_ratios, risk_ratio_power

CHANGE = "change"
"""Name that a term has the effect on the endpoint by."""


class Term(eqx.Module):
    """One term of a meta-regression: a coefficient, times covariates of the trial.

    Args:
        coefficient: its distribution: estimate and standard error of the source.
        of: what it multiplies: `change`, names of `values` of the link; left out, nothing: an intercept.
    """

    coefficient: AbstractPrior
    of: tuple[str, ...] = eqx.field(static=True, default=(), converter=texts)


class OutcomeLink(eqx.Module):
    """How the risk of an outcome follows from the effect on an endpoint, by a meta-regression of trials.

    The logarithm of the risk ratio, of any arm against the reference, is the sum of the terms. Each replicate draws its
    coefficients anew, so that what past trials leave open reaches the outcome; the effect on the endpoint is the
    replicate's own, of all its virtual patients. Coefficients are independent, as sources print no covariances: an
    intercept far from the trials and its slope then seem less sure than they are. It speaks of trials, not of patients.

    Args:
        outcome: what happens, in words.
        terms: of the sum, by name.
        values: covariates of the trial that terms name, beside `change`.
        endpoint: the one whose mean difference from the reference arm is `change`; "" where no term has it.
        unit: of `change`; the endpoint is converted to it.
        risk: share of patients with the outcome under the reference, by the end of follow-up of an outcome trial.
        patients: of an outcome trial with two equal arms, whose chance of success is asked for; left out, none.
        alpha: one-sided level of that trial.
        power: by which patients are counted that an outcome trial needs; 0.5 counts those with which the expected
            result is just significant.
    """

    outcome: str = eqx.field(static=True)
    terms: Mapping[str, Term]
    risk: float = eqx.field(static=True)
    values: Mapping[str, float] = eqx.field(static=True, default_factory=dict)
    endpoint: str = eqx.field(static=True, default="")
    unit: str = eqx.field(static=True, default="")
    patients: int | None = eqx.field(static=True, default=None)
    alpha: float = eqx.field(static=True, default=0.025)
    power: float = eqx.field(static=True, default=0.9)

    def __check_init__(self):
        """Refuse a risk that is none, and terms of what nobody says."""
        check_error(self.alpha, self.power)
        if not 0 < self.risk < 1:
            raise UserError(f"The risk of {self.outcome} under the reference is between 0 and 1, not {self.risk}.")
        if self.patients is not None and self.patients < 2:
            raise UserError(f"An outcome trial has 2 patients or more, not {self.patients}.")
        known = [*self.values, *([CHANGE] if self.endpoint else [])]
        for name, term in self.terms.items():
            for one in term.of:
                if one == CHANGE and not self.endpoint:
                    raise UserError(f"Term {name} of {self.outcome} is of `change`, but the link names no endpoint.")
                if one not in known:
                    raise UserError(
                        f"Term {name} of {self.outcome} is of '{one}', which `values` lacks. {nearest(one, known)}"
                    )

    def check(self, endpoints: Mapping[str, AbstractEndpoint], design: AbstractDesign, model: AbstractModel) -> None:
        """Check what needs the rest of the study.

        Raises:
            UserError: the endpoint is unknown, cannot be converted or is the time to an event, or the design has
                periods.
        """
        if design.periods > 1:
            raise UserError(f"The risk of {self.outcome} is of arms, but every patient of a crossover has them all.")
        if not self.endpoint:
            return
        if self.endpoint not in endpoints:
            raise UserError(
                f"The risk of {self.outcome} follows from '{self.endpoint}', which is no endpoint. "
                f"{nearest(self.endpoint, endpoints)}"
            )
        one = endpoints[self.endpoint]
        where = f"Endpoint {self.endpoint}, which the risk of {self.outcome} follows from,"
        if one.layout == "event":
            raise UserError(f"{where} must be a number; it is {one.describe()}.")
        units.factor(one.unit(model), self.unit, where=where)

    def log_ratio(self, coefficients: Values, change: Float[Array, "..."]) -> Float[Array, "..."]:
        """Return the logarithm of the risk ratio, given coefficients by term and the effect on the endpoint."""
        known = {name: jnp.asarray(value) for name, value in self.values.items()} | {CHANGE: change}
        total = jnp.zeros_like(change)
        for name, term in self.terms.items():
            product = jnp.asarray(coefficients[name])
            for one in term.of:
                product = product * known[one]
            total = total + product
        return total

    def drawn(self, key: Key[Array, ""], change: Float[Array, "replicate arm"]) -> Float[Array, "replicate arm"]:
        """Return it with coefficients drawn anew in each replicate."""

        def one(number: Key[Array, ""], change: Float[Array, " arm"]) -> Float[Array, " arm"]:
            laws = {name: term.coefficient.distribution() for name, term in self.terms.items()}
            drawn = {name: jnp.asarray(law.sample(keys.named(number, name))) for name, law in laws.items()}
            return self.log_ratio(drawn, change)

        return jax.vmap(one)(keys.numbered(key, len(change)), change)

    def size(self, log_ratio: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
        """Return the patients that an outcome trial of two equal arms needs; infinity where nothing is prevented."""
        return for_risk_ratios(log_ratio, self.risk, self.alpha, self.power)

    def success(self, log_ratio: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
        """Return the probability that an outcome trial of `patients` shows the outcome to be prevented."""
        return risk_ratio_power(log_ratio, self.risk, self.patients or np.nan, self.alpha)

    def describe(self) -> str:
        """Say what is assumed."""
        terms = []
        for name, term in self.terms.items():
            terms.append(" ".join([f"{name} ({term.coefficient.describe('')})", *(f"x {one}" for one in term.of)]))
        given = ", ".join(f"{name} {value:g}" for name, value in self.values.items())
        change = f"change being the effect on {self.endpoint} in {self.unit}" if self.endpoint else ""
        where = "; ".join(part for part in (change, given) if part)
        return (
            f"{self.outcome}, of {100 * self.risk:g} % under the reference: log risk ratio = {' + '.join(terms)}"
            f"{f', with {where}' if where else ''}"
        )


def log_risk_ratios(
    key: Key[Array, ""], links: Mapping[str, OutcomeLink], table: xr.Dataset, reference: int
) -> xr.Dataset:
    """Return the logarithm of each outcome's risk ratio against the reference, [replicate arm], as NAME_log_ratio.

    Args:
        key: of the trials.
        links: by name.
        table: potential outcomes, whose endpoints may be on disk.
        reference: number of the arm.
    """
    found = xr.Dataset()
    for name, link in links.items():
        change = _effect(table, link, reference)
        value = np.array(link.drawn(keys.named(keys.named(key, "link"), name), jnp.asarray(change)))
        value[:, reference] = 0.0
        attrs = {"long_name": f"Log risk ratio of {link.outcome} against the reference", "units": ""}
        found[f"{name}_log_ratio"] = ((schema.REPLICATE, schema.ARM), value, attrs)
    return found


def _effect(table: xr.Dataset, link: OutcomeLink, reference: int) -> Float[np.ndarray, "replicate arm"]:
    """Return the mean difference from the reference over patients, of visits the last; 0 without an endpoint."""
    count = table.sizes[schema.ARM]
    if not link.endpoint:
        return np.zeros((table.sizes[schema.REPLICATE], count))
    value = table[link.endpoint]
    by = units.factor(value.attrs["units"], link.unit, where=f"Endpoint {link.endpoint}")
    value = value.isel({schema.VISIT: -1}) if schema.VISIT in value.dims else value
    levels = [value.isel({schema.ARM: arm}).mean(schema.SUBJECT).to_numpy() for arm in range(count)]
    return by * (np.stack(levels, axis=1) - levels[reference][:, None])
