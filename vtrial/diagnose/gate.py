"""The gate: no trial from a fit that fails its checks, unless forced."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import numpy as np
import xarray as xr

from vtrial import schema
from vtrial.errors import UserError


class Check(NamedTuple):
    """One check of a fit."""

    name: str
    value: float
    culprit: str
    """Parameter, subject or chain that has the worst value."""
    rule: str
    passed: bool
    remedy: str
    """What to do where it fails."""


class Gate(eqx.Module):
    """Thresholds a fit must meet before virtual patients are drawn from it.

    Defaults after Vehtari et al. 2021, doi:10.1214/20-BA1221, Betancourt 2016, arXiv:1604.00695, and Vehtari et al.
    2024, arXiv:1507.02646. Draws that are independent are judged by their number and, if an approximation gave them, by
    its Pareto k.
    """

    r_hat: float = eqx.field(static=True, default=1.01)
    """R-hat of every population parameter must be below this."""
    ess: float = eqx.field(static=True, default=400.0)
    """Bulk and tail ESS of every population parameter must be above this."""
    ess_tail: float | None = eqx.field(static=True, default=None)
    """Tail ESS must be above this instead, if it is given."""
    mcse: float = eqx.field(static=True, default=0.1)
    """Monte-Carlo error of every posterior mean must be below this times its posterior standard deviation."""
    divergences: float = eqx.field(static=True, default=0)
    """At most so many divergent transitions; below 1, at most this share of the draws."""
    tree_depth: float = eqx.field(static=True, default=0.05)
    """At most this share of the iterations may reach the greatest tree depth."""
    e_bfmi: float = eqx.field(static=True, default=0.3)
    """E-BFMI of every chain must be above this."""
    pareto_k: float = eqx.field(static=True, default=0.7)
    """Pareto k of an approximate posterior must be below this."""
    subject_pareto_k: float | None = eqx.field(static=True, default=None)
    """Pareto k of every subject left out must be below this; left out, high ones are told and stop nothing."""
    force: bool = eqx.field(static=True, default=False)
    """Go on with a fit that fails; the report says so in red."""

    def judge(self, health: xr.Dataset, loo: xr.Dataset | None = None) -> xr.Dataset:
        """Add the verdict to the health group: each check's worst value, who has it, the rule, and whether it passed.

        A value that is not a number fails, but for parameters that are fixed and for statistics a method does not have.
        """
        checks = [*self._draws(health), *self._sampler(health), *self._subjects(loo)]
        judged = health.assign_coords(check=[c.name for c in checks]).assign(
            worst=(
                "check",
                np.array([c.value for c in checks]),
                {"long_name": "Worst value of the check", "units": ""},
            ),
            culprit=("check", [c.culprit for c in checks], {"long_name": "Parameter, subject or chain with it"}),
            rule=("check", [c.rule for c in checks], {"long_name": "What the value must be"}),
            passed=("check", np.array([c.passed for c in checks], bool), {"long_name": "Whether the check passed"}),
            remedy=("check", [c.remedy for c in checks], {"long_name": "What to do where it fails"}),
        )
        passed = bool(checks) and all(c.passed for c in checks)
        judged.attrs |= {"gate_passed": passed, "gate_forced": bool(self.force and not passed)}
        return judged

    def _draws(self, health: xr.Dataset) -> list[Check]:
        """Judge what is known of every parameter that is not fixed."""
        apart = str(health.attrs.get("modes", ""))
        mixing = (
            "give an order to parameters that can be exchanged (KA above CL/VC), or start nearer to the mode meant"
            if apart
            else "raise inference.warmup and inference.draws; if it stays, simplify the model or tighten its priors"
        )
        tail = self.ess if self.ess_tail is None else self.ess_tail
        longer = "raise inference.draws"
        rows = [
            ("r_hat", "R-hat", np.argmax, lambda v: v < self.r_hat, f"below {self.r_hat:g}", mixing),
            ("ess_bulk", "bulk ESS", np.argmin, lambda v: v > self.ess, f"above {self.ess:g}", longer),
            ("ess_tail", "tail ESS", np.argmin, lambda v: v > tail, f"above {tail:g}", longer),
            ("mcse_ratio", "MCSE/SD", np.argmax, lambda v: v < self.mcse, f"below {self.mcse:g}", longer),
        ]
        rows = rows[1:] if health.attrs.get("independent", 0) else rows
        found = [_worst(health, *row) for row in rows if row[0] in health]
        if not np.isnan(count := float(health["modes"])):
            found.append(Check("modes", count, "", "1", count == 1, apart))
        return found

    def _sampler(self, health: xr.Dataset) -> list[Check]:
        """Judge the sampler, or the approximation, by the statistics it has."""
        if health.attrs.get("independent", 0):
            k, used = float(health["pareto_k"]), bool(health.attrs.get("observations_used", 1))
            far = "the approximation is too far from the posterior: use inference=nuts, or a richer family"
            return [Check("Pareto k", k, "", f"below {self.pareto_k:g}", k < self.pareto_k, far)] if used else []
        found = []
        count, draws = float(health["divergences"]), float(health["iterations"])
        if not np.isnan(count):
            share = 0 < self.divergences < 1
            value, limit = (
                (count / draws, f"{self.divergences:g} of the draws") if share else (count, f"{self.divergences:g}")
            )
            who = _chain(health["divergences_chain"])
            remedy = (
                "raise inference.target_accept; if they stay, an omega near 0 or a weakly informed parameter needs a "
                "tighter prior"
            )
            found.append(Check("divergences", value, who, f"at most {limit}", value <= self.divergences, remedy))
        if not np.isnan(depth := float(health["tree_depth_share"])):
            remedy = "raise inference.max_tree_depth, or tighten the priors of parameters that are hardly identified"
            rule = f"at most {self.tree_depth:g} of the iterations"
            found.append(Check("greatest tree depth", depth, "", rule, depth <= self.tree_depth, remedy))
        if not np.isnan(energy := float(health["e_bfmi"])):
            who, remedy = (
                _chain(health["e_bfmi_chain"]),
                "raise inference.warmup; if it stays, tighten the priors of omegas",
            )
            found.append(Check("E-BFMI", energy, who, f"above {self.e_bfmi:g}", energy > self.e_bfmi, remedy))
        return found

    def _subjects(self, loo: xr.Dataset | None) -> list[Check]:
        """Judge the influence of single subjects, if that is asked for."""
        if self.subject_pareto_k is None or loo is None or "pareto_k" not in loo:
            return []
        k = loo["pareto_k"].to_numpy()
        at = int(np.argmax(np.where(np.isnan(k), np.inf, k)))
        remedy = "look at the data of this subject, or fit without it: the model or its etas do not allow for it"
        who, rule = f"ID {loo[schema.SUBJECT].to_numpy()[at]}", f"below {self.subject_pareto_k:g}"
        return [Check("Pareto k of a subject", float(k[at]), who, rule, bool(k[at] < self.subject_pareto_k), remedy)]

    def enforce(self, judged: xr.Dataset) -> None:
        """Stop the run where the fit failed and is not forced.

        Raises:
            UserError: naming each failed check, its value, and what to do.
        """
        if judged.attrs["gate_passed"] or self.force:
            return
        failed = judged.isel(check=~judged["passed"].to_numpy())
        columns = [failed[n].to_numpy() for n in ("check", "worst", "culprit", "rule", "remedy")]
        said = "; ".join(
            f"{name} {value:.4g}{f' of {who}' if who else ''} must be {rule} ({remedy})"
            for name, value, who, rule, remedy in zip(*columns, strict=True)
        )
        raise UserError(
            f"The fit did not pass the gate: {said or 'it has no draws to judge'}. gate.force=true goes on regardless, "
            "and the report says so; to spare the fit, add inference=saved inference.path=THIS_DIRECTORY/result.zarr."
        )


def _worst(
    health: xr.Dataset,
    variable: str,
    name: str,
    argument: Callable[[np.ndarray], np.intp],
    good: Callable[[float], bool],
    rule: str,
    remedy: str,
) -> Check:
    """Return the check of a statistic's worst value over the parameters that are not fixed."""
    judged = health.isel({schema.PARAMETER: ~health["fixed"].to_numpy()}) if "fixed" in health else health
    values = judged[variable].to_numpy()
    if not values.size:
        return Check(name, np.nan, "", rule, False, "every parameter is fixed: there is no posterior to judge")
    missing = np.flatnonzero(np.isnan(values))
    at = int(missing[0]) if missing.size else int(argument(values))
    value, who = float(values[at]), str(judged[schema.PARAMETER].to_numpy()[at])
    return Check(name, value, who, rule, bool(good(value)), remedy)


def _chain(number: xr.DataArray) -> str:
    return f"chain {int(number)}" if int(number) >= 0 else ""
