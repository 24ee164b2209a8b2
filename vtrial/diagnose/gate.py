"""The gate: no trial from a fit that fails its checks, unless forced."""

import equinox as eqx
import numpy as np
import xarray as xr

from vtrial import schema
from vtrial.errors import UserError


class Gate(eqx.Module):
    """Thresholds a fit must meet before virtual patients are drawn from it.

    Defaults after Vehtari et al. 2021, doi:10.1214/20-BA1221, and Betancourt 2016, arXiv:1604.00695.
    """

    r_hat: float = eqx.field(static=True, default=1.01)
    """R-hat of every population parameter must be below this."""
    ess: float = eqx.field(static=True, default=400.0)
    """Bulk and tail ESS of every population parameter must be above this."""
    divergences: int = eqx.field(static=True, default=0)
    """At most so many divergent transitions."""
    e_bfmi: float = eqx.field(static=True, default=0.3)
    """E-BFMI of every chain must be above this."""
    pareto_k: float = eqx.field(static=True, default=0.7)
    """Pareto k of an approximation must be at most this (Vehtari et al. 2024, JMLR 25(72))."""
    force: bool = eqx.field(static=True, default=False)
    """Go on with a fit that fails; the report says so in red."""

    def judge(self, health: xr.Dataset) -> xr.Dataset:
        """Add the verdict to the health group: each check's worst value, who has it, the rule, and whether it passed.

        A value that is not a number fails, but for sampler statistics that a method does not have.
        """
        rows = [
            self._worst(health, "r_hat", "R-hat", np.nanargmax, lambda v: v < self.r_hat, f"below {self.r_hat:g}"),
            self._worst(health, "ess_bulk", "bulk ESS", np.nanargmin, lambda v: v > self.ess, f"above {self.ess:g}"),
            self._worst(health, "ess_tail", "tail ESS", np.nanargmin, lambda v: v > self.ess, f"above {self.ess:g}"),
        ]
        count, energy = float(health["divergences"]), float(health["e_bfmi"])
        rows.append(("divergences", count, "", f"at most {self.divergences}", count <= self.divergences))
        if not np.isnan(energy):
            rows.append(("E-BFMI", energy, "", f"above {self.e_bfmi:g}", energy > self.e_bfmi))
        rows.append(("modes", float(health["modes"]), "", "1", float(health["modes"]) == 1))
        if not np.isnan(k := float(health["pareto_k"])):
            rows.append(("Pareto k", k, "", f"at most {self.pareto_k:g}", k <= self.pareto_k))
        check, value, culprit, rule, passed = zip(*rows, strict=True)
        judged = health.assign_coords(check=list(check)).assign(
            worst=("check", np.array(value), {"long_name": "Worst value of the check", "units": ""}),
            culprit=("check", list(culprit), {"long_name": "Parameter with the worst value"}),
            rule=("check", list(rule), {"long_name": "What the value must be"}),
            passed=("check", np.array(passed, bool), {"long_name": "Whether the check passed"}),
        )
        judged.attrs |= {"gate_passed": bool(all(passed)), "gate_forced": bool(self.force and not all(passed))}
        return judged

    @staticmethod
    def _worst(health: xr.Dataset, variable: str, label: str, argument, good, rule: str):
        values = health[variable].to_numpy()
        if np.isnan(values).any():
            at = int(np.flatnonzero(np.isnan(values))[0])
        else:
            at = int(argument(values))
        return label, float(values[at]), str(health[schema.PARAMETER].to_numpy()[at]), rule, bool(good(values[at]))

    def enforce(self, judged: xr.Dataset) -> None:
        """Stop the run where the fit failed and is not forced.

        Raises:
            UserError: naming each failed check, its value, and what to do.
        """
        if judged.attrs["gate_passed"] or self.force:
            return
        failed = judged.isel(check=~judged["passed"].to_numpy())
        said = "; ".join(
            f"{name} {value:.4g}{f' of {who}' if who else ''} must be {rule}"
            for name, value, who, rule in zip(
                failed["check"].to_numpy(),
                failed["worst"].to_numpy(),
                failed["culprit"].to_numpy(),
                failed["rule"].to_numpy(),
                strict=True,
            )
        )
        reasons = (judged.attrs.get(why) for why in ("modes", "approximation"))
        more = "".join(f" {reason}" for reason in reasons if reason)
        raise UserError(
            f"The fit did not pass the gate: {said}.{more} Sample longer or raise the target acceptance (inference), "
            "or reconsider the model and priors. gate.force=true goes on regardless, and the report says so; to spare "
            "the fit, add inference=saved inference.path=THIS_DIRECTORY/result.zarr."
        )
