"""The mixed model for repeated measures: a covariance of the visits without structure, fitted by REML.

Derivatives are written out, and what the data say is summed by pattern of missing visits before the search begins, so
that a step costs the same for twenty patients and for twenty thousand, and thousands of trials are fitted at once.

Sources: Mallinckrodt et al. 2001, doi:10.1081/BIP-100104194; Jennrich and Schluchter 1986, doi:10.2307/2530695.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from vtrial.statistics.linear import invert
from vtrial.statistics.reml import STEPS, Curvature, Groups, Profile, Restricted, minimise, profile

_CORRELATION = 0.5
"""Between any two visits, where the search begins."""


def crossed(
    regressor: Float[Array, "patient regressor"],
    outcome: Float[Array, "patient visit"],
    known: Bool[Array, "patient visit"],
    weight: Float[Array, " patient"],
) -> Groups:
    """Return groups for a model in which every regressor has a coefficient at every visit.

    Columns are ordered visit by visit. Groups are the patterns of known visits, or the patients if those are fewer.

    Args:
        regressor: of each patient.
        outcome: of each patient at each visit.
        known: whether it is.
        weight: of each patient: 1; 0 leaves him out.
    """
    patients, visits = known.shape
    value = jnp.where(known, outcome, 0.0)
    if 2**visits <= patients:
        pattern = (known * 2 ** jnp.arange(visits)[None]).sum(1)
        member = (pattern[:, None] == jnp.arange(2**visits)[None]).astype(value.dtype)
        which = (jnp.arange(2**visits)[:, None] // 2 ** jnp.arange(visits)[None]) % 2 == 1
    else:
        member, which = jnp.eye(patients, dtype=value.dtype), known
    member = member * weight[:, None]
    square = jnp.einsum("np,na,nb->pab", member, regressor, regressor)
    product = jnp.einsum("np,na,nt->pta", member, regressor, value)
    outcomes = jnp.einsum("np,ns,nt->pst", member, value, value)
    columns = visits * regressor.shape[1]

    def gram(b: Float[Array, "group visit visit"]) -> Float[Array, "all all"]:
        corner = jnp.einsum("pst,pab->satb", b, square).reshape(columns, columns)
        edge = jnp.einsum("pst,pta->sa", b, product).reshape(columns, 1)
        return jnp.block([[corner, edge], [edge.T, jnp.vdot(b, outcomes)[None, None]]])

    return Groups(known=which, count=member.sum(0), gram=gram)


def unpack(theta: Float[Array, " theta"], visits: int) -> Float[Array, "visit visit"]:
    """Return the covariance with Cholesky factor theta, row by row, the logarithms of its diagonal."""
    row, column = jnp.tril_indices(visits)
    factor = (
        jnp.zeros((visits, visits), theta.dtype).at[row, column].set(jnp.where(row == column, jnp.exp(theta), theta))
    )
    return factor @ factor.T


def pack(covariance: Float[Array, "visit visit"]) -> Float[Array, " theta"]:
    """Return theta of a covariance."""
    row, column = jnp.tril_indices(len(covariance))
    entry = jnp.linalg.cholesky(covariance)[row, column]
    return jnp.where(row == column, jnp.log(jnp.where(row == column, entry, 1.0)), entry)


def begin(groups: Groups) -> Float[Array, " theta"]:
    """Return where the search begins: the variances of least squares, and one correlation."""
    visits = groups.known.shape[1]
    identity = jnp.eye(visits)
    residual = _residuals(profile(jnp.broadcast_to(identity, (len(groups.known), visits, visits)), groups), groups)
    number = (groups.count[:, None] * groups.known).sum(0)
    square = jnp.where(groups.known, jnp.diagonal(residual, axis1=1, axis2=2), 0.0)
    variance = square.sum(0) / jnp.maximum(number, 1.0)
    sd = jnp.sqrt(jnp.where(variance > 0, variance, 1.0))
    return pack(sd[:, None] * sd[None] * (_CORRELATION + (1 - _CORRELATION) * identity))


def fit(groups: Groups, start: Float[Array, " theta"] | None = None, steps: int = STEPS) -> Restricted:
    """Fit the model; `start` is where the search begins, near the answer when patients are left out one by one."""
    visits = groups.known.shape[1]
    shape = (len(groups.known), visits, visits)

    def at(theta: Float[Array, " theta"]) -> Profile:
        return profile(jnp.broadcast_to(unpack(theta, visits), shape), groups)

    def curvature(theta: Float[Array, " theta"]) -> Curvature:
        return _derivatives(theta, at(theta), groups)[0]

    first = begin(groups) if start is None else start
    theta, taken, converged = minimise(lambda t: at(t).deviance, curvature, first, steps)
    final = at(theta)
    last, slope = _derivatives(theta, final, groups)
    return Restricted(
        coefficient=final.coefficient,
        covariance=final.covariance,
        estimable=final.estimable,
        theta=theta,
        theta_covariance=2 * invert(last.observed)[0],
        sensitivity=jnp.einsum("ab,jbc,cd->jad", final.covariance, slope[:, :-1, :-1], final.covariance),
        deviance=final.deviance,
        steps=taken,
        converged=converged,
    )


def _residuals(at: Profile, groups: Groups) -> Float[Array, "group visit visit"]:
    """Return the sum over a group's patients of residual × residual'."""
    direction = jnp.append(-at.coefficient, 1.0)
    return _adjoint(direction[:, None] * direction[None], groups, at.weight)


def _adjoint(
    value: Float[Array, "all all"], groups: Groups, like: Float[Array, "group visit visit"]
) -> Float[Array, "group visit visit"]:
    """Return the sum over a group's patients of [X, y] value [X, y]'."""
    (found,) = jax.vjp(groups.gram, like)[1](value)
    return 0.5 * (found + jnp.swapaxes(found, 1, 2))


def _derivatives(
    theta: Float[Array, " theta"], at: Profile, groups: Groups
) -> tuple[Curvature, Float[Array, "theta all all"]]:
    """Return the derivatives of the deviance, and what [X, y]' V^-1 [X, y] loses as each theta grows.

    The safe Hessian is Fisher's expected information. Source: Harville 1977, and Jennrich and Schluchter 1986.
    """
    w, visits = at.weight, at.weight.shape[-1]
    slope = jnp.moveaxis(jax.jacfwd(lambda t: unpack(t, visits))(theta), -1, 0)
    middle = jnp.einsum("psa,jab,pbt->jpst", w, slope, w)
    lost = jax.vmap(groups.gram)(middle)
    direction = jnp.append(-at.coefficient, 1.0)
    fixed = w @ _adjoint(jnp.pad(at.covariance, ((0, 1), (0, 1))), groups, w) @ w
    residual = w @ _residuals(at, groups) @ w
    size = groups.count[:, None, None] * w
    pull = (size - fixed - residual).sum(0)

    def second(one: Float[Array, "group visit visit"]) -> Float[Array, "theta theta"]:
        """Return the sum over groups of tr(one dV_j W dV_k)."""
        fourth = jnp.einsum("pda,pbc->abcd", one, w)
        return jnp.einsum("jab,abcd,kcd->jk", slope, fourth, slope)

    error = at.covariance
    spent = jnp.einsum("ab,jbc->jac", error, lost[:, :-1, :-1])
    spent = jnp.einsum("jab,kba->jk", spent, spent)
    moved = lost[:, :-1, :] @ direction
    both = second(fixed) + second(fixed).T
    expected = second(size) - both + spent
    bend = jax.hessian(lambda t: jnp.vdot(pull, unpack(t, visits)))(theta)
    noise = second(residual) + second(residual).T
    observed = -second(size) + both + noise - spent - 2 * moved @ error @ moved.T + bend
    return Curvature(jnp.einsum("jab,ab->j", slope, pull), observed, expected), lost
