"""Studies on real data as they are shipped, settings and all: the gate passes, and posteriors agree with others' fits.

Means of the posterior are compared with estimates by maximum likelihood, within the tolerances of the data's catalogue.
Theophylline, phenobarbital and influenza are held against Stan's posteriors in files of their own.
"""

import json

import jax
import numpy as np
import pytest

from tests.helpers import SHARED
from tests.validation.fitting import problem, shared, study, with_arms
from vtrial import keys, schema
from vtrial.diagnose import fit_health
from vtrial.inference import groups

pytestmark = pytest.mark.slow


def warfarin():
    """Monolix 2021R1: fixed effects within 10 %, EMAX within 0.03, 1/KTR + 1/KA within 15 %, SDs within 30 %."""
    file = SHARED / "data" / "warfarin_pkpd" / "ref_monolix2021_emax_turnover.json"
    monolix = {n: entry["value"] for n, entry in json.loads(file.read_text())["parameters"].items()}
    names = {"CL": "cl", "VC": "v", "EC50": "ec50", "KOUT": "kout", "E0": "e0"}
    wanted = {ours: (monolix[f"{theirs}_pop"], 0.1) for ours, theirs in names.items()}
    wanted |= {f"{ours}_iiv": (monolix[f"omega_{theirs}"], 0.3) for ours, theirs in names.items()}
    wanted |= {"EMAX": (monolix["emax_pop"], 0.03 / monolix["emax_pop"])}
    wanted |= {"absorption": (1 / monolix["ktr_pop"] + 1 / monolix["ka_pop"], 0.15)}
    errors = {"concentration_sigma_add": "pkadd", "concentration_sigma_prop": "prop", "response_sigma_add": "pdadd"}
    return wanted | {ours: (monolix[f"{theirs}__err"], 0.3) for ours, theirs in errors.items()}


def remifentanil():
    """Minto et al. 1997, see `test_published_remifentanil`: within 10 %, VP2 within 30 %, spreads within 25 %.

    For Q2 see `test_q2_of_remifentanil_is_mintos`.
    """
    typical = {"CL": 2.6 * 60, "VC": 5.1, "Q": 2.05 * 60, "VP": 9.82}
    spread = {"CL": 0.14, "VC": 0.26, "Q": 0.36, "VP": 0.29}
    wanted = {"VP2": (5.42, 0.3)} | {name: (value, 0.1) for name, value in typical.items()}
    return wanted | {f"{name}_iiv": (value, 0.25) for name, value in spread.items()}


def neutrophils():
    """The numbers that the data were simulated with: structural parameters within 0.75 to 1.33 of them."""
    return {name: (value, 0.25) for name, value in truth().items() if not name.endswith("_iiv")}


def truth() -> dict[str, float]:
    """Return them by site; the simulation has SLOPE per ng/mL and calls it ALPHA."""
    known = json.loads((SHARED / "data" / "neutrophil_friberg_sim" / "truth.json").read_text())
    found = {name: value for name, value in known["theta"].items() if name != "ALPHA"}
    found |= {f"{name}_iiv": value**0.5 for name, value in known["omega_var"].items() if name != "ALPHA"}
    return found | {"SLOPE": 1000 * known["theta"]["ALPHA"], "SLOPE_iiv": known["omega_var"]["ALPHA"] ** 0.5}


def tumour():
    """R's lme with a baseline of each arm, which the study has not: rates within 0.1, SDs within 25 %."""
    r = json.loads((SHARED / "data" / "tumour_study2" / "ref_study2_loglme.json").read_text())
    slope, other = r["fixed"]["arm1:yr"], r["fixed"]["arm2:yr"]
    wanted = {"KG": (slope, 0.1 / abs(slope)), "EFFECT": (other - slope, 0.1 / abs(other - slope))}
    wanted |= {"BASE_iiv": (r["sd_random"]["(Intercept)"], 0.25), "KG_iiv": (r["sd_random"]["yr"], 0.25)}
    return wanted | {"size_sigma_log": (r["sd_random"]["Residual"], 0.25)}


def indometh():
    """Clearance by nlme's biexponential curve within 10 %; its volumes are those of a point that is no maximum.

    See `test_independent_nlme`: there are points 1.5 higher; and its effects are those of other parameters than ours.
    """
    r = json.loads((SHARED / "data" / "indometh" / "ref_nlme.json").read_text())["fits"]["indometh_ssbiexp"]
    fixed = r["fixed"]
    area = fixed["A1"] / np.exp(fixed["lrc1"]) + fixed["A2"] / np.exp(fixed["lrc2"])
    return {"CL": (25 / area, 0.1)}


def nothing():
    """Return no estimates: nobody has published any of the erlotinib data with this model."""
    return {}


OUTSIDE = pytest.mark.external
CASES = [
    pytest.param(("warfarin", "warfarin_pkpd/warfarin_pkpd.csv", warfarin), marks=OUTSIDE, id="warfarin"),
    pytest.param(
        ("neutrophils", "neutrophil_friberg_sim/neutrophil_friberg_sim.csv", neutrophils),
        marks=OUTSIDE,
        id="neutrophils",
    ),
    pytest.param(("tumour", "", tumour), marks=OUTSIDE, id="tumour"),
    pytest.param(("remifentanil", None, remifentanil), id="remifentanil"),
    pytest.param(("indometh", None, indometh), marks=OUTSIDE, id="indometh"),
    pytest.param(("lxf_erlotinib", None, nothing), id="lxf_erlotinib"),
]


@pytest.fixture(scope="module", params=CASES)
def case(request, tmp_path_factory):
    """Fit a study by its own settings and seed, as a run does."""
    name, path, expected = request.param
    given = shared(path) if path else f"data.path={with_arms(tmp_path_factory.mktemp(name))}"
    made = study(name, *([] if path is None else [given]))
    statistical, data = problem(made)
    key = keys.named(keys.named(jax.random.key(made.seed), "calibrate"), "sample")
    fitted = made.inference(key, statistical, data)
    prior = groups.prior(jax.random.key(1), statistical)
    health = fit_health(fitted[schema.POSTERIOR], fitted[schema.SAMPLE_STATS], prior, statistical)
    return name, made.gate.judge(health), fitted[schema.POSTERIOR], expected()


def test_the_gate_is_passed(case):
    assert case[1].attrs["gate_passed"]


def test_means_are_near_the_estimates(case):
    if not case[3]:
        pytest.skip("nobody has estimated these")
    posterior = case[2]
    if case[0] == "warfarin":
        posterior = posterior.assign(absorption=1 / posterior["KTR"] + 1 / posterior["KA"])
    wrong = {
        n: (float(posterior[n].mean()), *w) for n, w in case[3].items() if abs(posterior[n].mean() / w[0] - 1) > w[1]
    }
    assert not wrong


@pytest.mark.xfail(reason="0.094 L/min, where Minto has 0.076 and Eleveld et al. 2017 have 0.124", strict=True)
def test_q2_of_remifentanil_is_mintos(case):
    """His is at a mode of each subject's effects, and Laplace's method here agrees; some subjects have two modes.

    The other analysis (doi:10.1097/ALN.0000000000001634) had 66 people more.
    """
    if case[0] != "remifentanil":
        pytest.skip("of the others all estimates are compared")
    assert float(case[2]["Q2"].mean()) == pytest.approx(0.076 * 60, rel=0.1)


def test_intervals_cover_what_neutrophils_were_simulated_with(case):
    """At most 2 of 16 numbers outside of 95 % intervals: 3 or more are out in one fit of 20 that are right."""
    if case[0] != "neutrophils":
        pytest.skip("of the other studies nobody knows the truth")
    out = []
    for name, value in truth().items():
        low, high = np.quantile(case[2][name], [0.025, 0.975])
        if not low < value < high:
            out.append((name, value, low, high))
    assert len(out) <= 2
