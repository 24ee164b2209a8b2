"""The interface of the law of a measurement around its prediction."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from vtrial._types import Values
from vtrial.data.dataset import Dataset, Observations
from vtrial.errors import UserError, nearest
from vtrial.model import AbstractModel
from vtrial.population import AbstractPrior


class Visits(NamedTuple):
    """When measurements are made, and the randomness of each; a subject's measurements stand in order of time."""

    time: Float[Array | np.ndarray, " obs"]
    """In the model's time unit."""
    previous: Int[Array | np.ndarray, " obs"]
    """Position of the same subject's previous measurement; -1 for the first."""
    own: Key[Array, " obs"]
    """One key a measurement, so that it does not depend on which others are made."""
    person: Key[Array, " obs"]
    """One key a subject, the same in all its measurements: for what is drawn once, such as the time of a death."""


class AbstractNoise(eqx.Module):
    """The law of a measurement around its prediction, with parameters of its own.

    Everything speaks of the measurements of one output in long form. `prediction` is the output at each of them and
    `also` the further outputs it asks for, at the same places; `values` are its parameters by short name.
    """

    @property
    @abstractmethod
    def also(self) -> tuple[str, ...]:
        """Other outputs of the model that it needs at its measurements, for example a hazard; () for most."""

    @abstractmethod
    def priors(self) -> dict[str, AbstractPrior]:
        """Return the prior of each of its parameters, by short name."""

    @abstractmethod
    def units(self, output: str, time: str) -> dict[str, str]:
        """Return the unit of each of its parameters, given the units of the output and of time."""

    @abstractmethod
    def describe(self) -> str:
        """Write the law as a formula in f, the prediction: of a measurement with an error, its standard deviation."""

    @abstractmethod
    def check(self, output: str, data: Dataset) -> None:
        """Check that the observations of an output can come from this law.

        Raises:
            UserError: one cannot.
        """

    @abstractmethod
    def log_likelihood(
        self,
        prediction: Float[Array, " obs"],
        also: Mapping[str, Float[Array, " obs"]],
        values: Values,
        seen: Observations,
    ) -> Float[Array, " obs"]:
        """Return the log density, or log probability, of each observation given the earlier ones of its subject.

        It is finite or -inf, and has finite derivatives where it is finite.
        """

    @abstractmethod
    def replicate(
        self, prediction: Float[Array, " obs"], also: Mapping[str, Float[Array, " obs"]], values: Values, visits: Visits
    ) -> Float[Array, " obs"]:
        """Return what would be measured."""

    @abstractmethod
    def deviation(self, prediction: Float[Array, " obs"], values: Values) -> Float[Array, " obs"] | None:
        """Return the standard deviation of each measurement, in the unit of the output; None if it has no error."""

    @abstractmethod
    def residual(
        self, prediction: Float[Array, " obs"], values: Values, seen: Observations
    ) -> Float[Array, " obs"] | None:
        """Return each observation's residual, standardised, on the scale on which the error is added.

        It has mean 0 and SD 1 if the model is right; not a number where the value is censored, None if there is no
        error.
        """


class AbstractWithoutError(AbstractNoise):
    """The law of an observation that is no measurement with an error: a number, a category, an event."""

    def deviation(self, prediction: Float[Array, " obs"], values: Values) -> Float[Array, " obs"] | None:
        """Return none."""
        return None

    def residual(
        self, prediction: Float[Array, " obs"], values: Values, seen: Observations
    ) -> Float[Array, " obs"] | None:
        """Return none."""
        return None


Number = AbstractPrior | float
"""A parameter that is estimated, or known."""


def estimated(numbers: Mapping[str, Number]) -> dict[str, AbstractPrior]:
    """Return the priors of those numbers that are estimated, by short name."""
    return {short: number for short, number in numbers.items() if isinstance(number, AbstractPrior)}


def known(number: Number, short: str, values: Values) -> Float[Array, ""]:
    """Return a number that is known, or its value of a draw."""
    return jnp.asarray(values[short] if isinstance(number, AbstractPrior) else float(number))


def written(number: Number, short: str) -> str:
    """Write a number in a formula: by its value if it is known, else by its short name."""
    return short if isinstance(number, AbstractPrior) else f"{number:g}"


def refuse(wrong: Bool[np.ndarray | Array, " obs"], output: str, data: Dataset, reason: str) -> None:
    """Refuse the first observation of an output that is wrong; raises `UserError` with its subject, time and value."""
    if wrong.any():
        seen, first = data.observations[output], int(np.flatnonzero(wrong)[0])
        more = f" ({int(wrong.sum()) - 1} more likewise)" if wrong.sum() > 1 else ""
        raise UserError(
            f"Output '{output}', ID {data.subjects[seen.subject[first]]}, time {seen.time[first]:g} {data.time_unit}: "
            f"{seen.value[first]:g}: {reason}{more}."
        )


def check_outputs(noise: Mapping[str, AbstractNoise], model: AbstractModel) -> None:
    """Check that residual errors are of outputs the model has.

    Raises:
        UserError: one is not, or needs another output that the model lacks.
    """
    for output, own in noise.items():
        if output not in model.outputs:
            raise UserError(f"noise has '{output}', which is no output of the model. {nearest(output, model.outputs)}")
        for other in own.also:
            if other not in model.outputs:
                raise UserError(
                    f"noise.{output} needs output '{other}', which the model does not have. "
                    f"{nearest(other, model.outputs)}"
                )
