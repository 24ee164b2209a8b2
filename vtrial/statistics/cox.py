"""Proportional hazards: Cox's regression, also for events that recur, with robust errors."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from vtrial.statistics.ordered import Ordered, group_ends, ordered, taken

_STEPS = 40
"""Most Newton steps, halved ones included; a likelihood with a maximum needs fewer than ten."""
_FLAT = 1e-10
"""Information below this much of its value at 0 has run away: the likelihood has no maximum."""


class Cox(NamedTuple):
    """A fit of Cox's regression by partial likelihood."""

    coefficient: Float[Array, " covariate"]
    """Log hazard ratio for one unit of each covariate."""
    covariance: Float[Array, "covariate covariate"]
    """Its covariance; not a number where there is no maximum."""
    log_likelihood: Float[Array, ""]
    """Partial log-likelihood at the fit."""
    null: Float[Array, ""]
    """The same with all coefficients 0."""
    converged: Bool[Array, ""]
    """Whether the maximum was found; false where none exists, as with no event in an arm."""


class _Risk(NamedTuple):
    """Rows in order, with all that does not depend on the coefficients."""

    x: Float[Array, "row covariate"]
    event: Float[Array, " row"]
    known: Float[Array, " row"]
    first: Int[Array, " row"]  # first row of each row's time
    last: Int[Array, " row"]
    tied: Float[Array, " row"]  # of the events at this time, which share comes before this one
    late: Int[Array, " row"]  # rows in order of entry
    waiting: Int[Array, " row"]  # how many rows enter before the row's time; the others are not yet at risk
    begun: Int[Array, " row"]  # rows whose time is at or before the row's entry


class _Sums(NamedTuple):
    """Sums over who is at risk at each event, less the tied share of those who have the event."""

    hazard: Float[Array, " row"]
    mean: Float[Array, "row covariate"]
    square: Float[Array, "row covariate covariate"]


class _Step(NamedTuple):
    """What Newton's method carries from one step to the next."""

    beta: Float[Array, " covariate"]  # the best so far
    step: Float[Array, " covariate"]  # where to go from there
    scale: Float[Array, ""]  # how much of it
    value: Float[Array, ""]
    gain: Float[Array, ""]  # gradient' information^-1 gradient: squared distance from the maximum, in standard errors
    information: Float[Array, "covariate covariate"]
    null: Float[Array, ""]
    first: Float[Array, "covariate covariate"]  # the information at 0
    number: Int[Array, ""]


def cox(
    time: Float[Array, " row"],
    event: Bool[Array, " row"],
    covariates: Float[Array, "row covariate"],
    known: Bool[Array, " row"],
    *,
    breslow: bool = False,
) -> Cox:
    """Return the fit of Cox's regression, by Newton's method.

    Args:
        time: from entry to event or censoring.
        event: whether it is the time of an event.
        covariates: of each patient; not a number counts as not known.
        known: who counts.
        breslow: take ties by Breslow's approximation instead of Efron's: all tied events are at risk at each.

    Source: Cox 1972, doi:10.1111/j.2517-6161.1972.tb00899.x; Efron 1977, doi:10.1080/01621459.1977.10480613; Breslow
    1974, doi:10.2307/2529620.
    """
    known = known & jnp.isfinite(covariates).all(1)
    risk = _risk(ordered(time, event, known), covariates, None)
    return _fit(risk._replace(tied=jnp.zeros_like(risk.tied)) if breslow else risk)


def andersen_gill(
    entry: Float[Array, " row"],
    time: Float[Array, " row"],
    event: Bool[Array, " row"],
    covariates: Float[Array, "row covariate"],
    known: Bool[Array, " row"],
    cluster: Int[Array, " row"],
) -> Cox:
    """Return the fit of Andersen and Gill's model, with the covariance that is valid for dependent rows of a patient.

    Args:
        entry: since when each row is at risk, exclusive.
        time: end of the row, inclusive: an event, or censoring.
        event: whether it is the time of an event.
        covariates: of each row; not a number counts as not known.
        known: which rows count.
        cluster: number of each row's patient, 0 to rows - 1.

    Source: Andersen and Gill 1982, doi:10.1214/aos/1176345976; Lin and Wei 1989, doi:10.1080/01621459.1989.10478874.
    """
    known = known & jnp.isfinite(covariates).all(1) & (entry < time)
    table = ordered(time, event, known)
    risk = _risk(table, covariates, entry)
    fit = _fit(risk)
    score = jax.ops.segment_sum(_residuals(risk, fit.coefficient), taken(table, cluster), time.shape[0])
    return fit._replace(covariance=fit.covariance @ (score.T @ score) @ fit.covariance)


def _fit(risk: _Risk) -> Cox:
    """Maximise the partial likelihood."""
    end = _newton(risk)
    singular = _singular(end.information, end.first)
    safe = jnp.where(singular, jnp.eye(end.beta.shape[0], dtype=end.beta.dtype), end.information)
    covariance = jnp.where(singular, jnp.nan, jnp.linalg.inv(safe))
    return Cox(end.beta, covariance, end.value, end.null, _arrived(end) & ~singular)


def _risk(table: Ordered, covariates: Float[Array, "row covariate"], entry: Float[Array, " row"] | None) -> _Risk:
    """Put rows in order, centre covariates, and find who is at risk when."""
    known = table.known.astype(covariates.dtype)
    x = jnp.where(table.known[:, None], taken(table, covariates), 0.0)
    x = jnp.where(table.known[:, None], x - (x.sum(0) / jnp.maximum(known.sum(), 1.0))[None], 0.0)
    event = table.event.astype(x.dtype)
    first, last = group_ends(table)
    before = jnp.concatenate([jnp.zeros(1, x.dtype), jnp.cumsum(event)])
    died = before[last + 1] - before[first]
    # Events come first within a time, so that an event's place among them is its distance from the first.
    rank = (jnp.arange(x.shape[0], dtype=first.dtype) - first).astype(x.dtype)
    tied = jnp.where(event > 0, rank / jnp.maximum(died, 1.0), 0.0)
    if entry is None:
        nobody = jnp.full(x.shape[0], x.shape[0], jnp.int32)
        return _Risk(x, event, known, first, last, tied, jnp.arange(x.shape[0]), nobody, jnp.zeros_like(nobody))
    begin = jnp.where(table.known, taken(table, entry), jnp.inf)
    late = jnp.argsort(begin)
    waiting = jnp.searchsorted(begin[late], table.time, side="left")
    begun = jnp.searchsorted(table.time, begin, side="right")
    return _Risk(x, event, known, first, last, tied, late, waiting, begun)


def _at_risk(risk: _Risk, weight: Float[Array, "row ..."]) -> Float[Array, "row ..."]:
    """Sum a weight of every row over who is at risk at each row's time, with Efron's share of the events taken off."""
    ahead = _tail(weight)[risk.first]
    waiting = _tail(weight[risk.late])[risk.waiting]
    one = risk.event.reshape(-1, *([1] * (weight.ndim - 1)))
    shape = one.shape
    own = _head(one * weight)
    own = own[risk.last + 1] - own[risk.first]
    return ahead - waiting - risk.tied.reshape(shape) * own


def _head(x: Float[Array, "row ..."]) -> Float[Array, "rows ..."]:
    """Return the sums of the first 0, 1, ... rows."""
    return jnp.concatenate([jnp.zeros_like(x[:1]), jnp.cumsum(x, axis=0)])


def _tail(x: Float[Array, "row ..."]) -> Float[Array, "rows ..."]:
    """Return the sums from row 0, 1, ... to the last, and the empty one."""
    return jnp.concatenate([jnp.cumsum(x[::-1], axis=0)[::-1], jnp.zeros_like(x[:1])])


def _scores(risk: _Risk, beta: Float[Array, " covariate"]) -> tuple[Float[Array, " row"], Float[Array, " row"]]:
    """Return the linear predictor of each row and its hazard, scaled so that none overflows."""
    predictor = risk.x @ beta
    predictor = predictor - jnp.max(jnp.where(risk.known > 0, predictor, -jnp.inf), initial=-1e300)
    return predictor, risk.known * jnp.exp(jnp.where(risk.known > 0, predictor, 0.0))


def _sums(risk: _Risk, hazard: Float[Array, " row"]) -> _Sums:
    """Return hazard, mean and mean square of the covariates over who is at risk at each event; 0 at other rows."""
    some = risk.event > 0
    total = jnp.where(some, _at_risk(risk, hazard), 1.0)
    weighted = hazard[:, None] * risk.x
    mean = jnp.where(some[:, None], _at_risk(risk, weighted) / total[:, None], 0.0)
    square = _at_risk(risk, weighted[:, :, None] * risk.x[:, None, :]) / total[:, None, None]
    return _Sums(jnp.where(some, total, 0.0), mean, jnp.where(some[:, None, None], square, 0.0))


def _derivatives(risk: _Risk, beta: Float[Array, " covariate"]):
    """Return the partial log-likelihood, its gradient, and the information: less its second derivative."""
    predictor, hazard = _scores(risk, beta)
    sums = _sums(risk, hazard)
    value = jnp.where(risk.event > 0, predictor - jnp.log(jnp.where(risk.event > 0, sums.hazard, 1.0)), 0.0).sum()
    gradient = (risk.event[:, None] * risk.x - sums.mean).sum(0)
    return value, gradient, (sums.square - sums.mean[:, :, None] * sums.mean[:, None, :]).sum(0)


def _singular(information: Float[Array, "covariate covariate"], scale: Float[Array, "covariate covariate"]):
    """Say whether the information is nothing against its scale, or not a number."""
    least = jnp.diagonal(jnp.linalg.cholesky(information)) ** 2
    return ~jnp.all(least > _FLAT * jnp.diagonal(scale)) | ~jnp.all(jnp.diagonal(scale) > 0)


def _newton(risk: _Risk) -> _Step:
    """Maximise by Newton's method; a step that lowers the likelihood is halved."""
    size, kind = risk.x.shape[1], risk.x.dtype

    def improve(at: _Step) -> _Step:
        beta = at.beta + at.scale * at.step
        value, gradient, information = _derivatives(risk, beta)
        step = jnp.linalg.solve(information, gradient)
        step = jnp.where(jnp.isfinite(step).all(), step, 0.0)
        begun = at.number == 0
        null, first = jnp.where(begun, value, at.null), jnp.where(begun, information, at.first)
        one, number = jnp.ones((), kind), at.number + 1
        there = _Step(beta, step, one, value, jnp.abs(gradient @ step), information, null, first, number)
        back = at._replace(scale=0.5 * at.scale, number=number)
        good = value >= at.value - 1e-9 * jnp.abs(value)
        return jax.tree.map(lambda a, b: jnp.where(good, a, b), there, back)

    zero, matrix = jnp.zeros((), kind), jnp.zeros((size, size), kind)
    infinite = jnp.full((), jnp.inf, kind)
    nowhere = jnp.zeros(size, kind)
    start = _Step(nowhere, nowhere, zero, -infinite, infinite, matrix, zero, matrix, jnp.zeros((), int))
    return jax.lax.while_loop(lambda at: ~_arrived(at) & (at.number < _STEPS), improve, start)


def _arrived(at: _Step) -> Bool[Array, ""]:
    """Say whether the maximum is found, to the square root of the rounding error in standard errors."""
    return at.gain <= jnp.finfo(at.gain.dtype).eps


def _residuals(risk: _Risk, beta: Float[Array, " covariate"]) -> Float[Array, "row covariate"]:
    """Return each row's part of the score, in the table's order: the residuals of Lin and Wei with Efron's ties.

    At the k-th of d tied events, one who has the event at that time is at risk with weight 1 - k/d, another with 1; an
    event is compared with the average of the means of its time.
    """
    _, hazard = _scores(risk, beta)
    sums = _sums(risk, hazard)
    rate = jnp.where(risk.event > 0, 1 / jnp.where(sums.hazard > 0, sums.hazard, 1.0), 0.0)
    joint = jnp.concatenate([rate[:, None], rate[:, None] * sums.mean], axis=1)
    past = _head(joint)
    exposed = past[risk.last + 1] - past[risk.begun]
    late = _head(risk.tied[:, None] * joint)
    exposed = exposed - risk.event[:, None] * (late[risk.last + 1] - late[risk.first])
    means, events = _head(sums.mean), _head(risk.event)
    average = (means[risk.last + 1] - means[risk.first]) / jnp.maximum(events[risk.last + 1] - events[risk.first], 1.0)[
        :, None
    ]
    own = risk.event[:, None] * (risk.x - average)
    return own - hazard[:, None] * (risk.x * exposed[:, :1] - exposed[:, 1:])
