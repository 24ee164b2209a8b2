"""Models in plain scalars, and one person's tables; the reference trajectories of ../shared are for these models."""

import json
import math

import jax.numpy as jnp
import numpy as np
import polars as pl

from tests.helpers import SHARED
from vtrial.solve.lanes.problem import Equations

FOLDER = SHARED / "reference" / "trajectories"


def saturable(t, y, p):
    vmax, km, v2, q, v3, ka = p
    c, back = y[1] / v2, y[2] / v3
    return -ka * y[0], ka * y[0] - vmax * c / (km + c) - q * (c - back), q * (c - back)


def binding(t, y, p):
    ka, kel, kpt, ktp, v, kon, koff, ksyn, kdeg, kint = p
    depot, ligand, tissue, target, bound = y
    on = kon * ligand * target - koff * bound
    return (
        -ka * depot,
        ka * depot / v - (kel + kpt) * ligand + ktp * tissue / v - on,
        kpt * ligand * v - ktp * tissue,
        ksyn - kdeg * target - on,
        on - kint * bound,
    )


def neutrophils(t, y, p):
    cl, q, vc, vp, ka, mtt, circ0, gamma, alpha = p
    depot, central, peripheral, stem, one, two, three, circulating = y
    c = central / vc
    exchange, k = q * (c - peripheral / vp), 4.0 / mtt
    effect = jnp.minimum(1.0, alpha * c)
    return (
        -ka * depot,
        ka * depot - cl * c - exchange,
        exchange,
        k * stem * ((1.0 - effect) * (circ0 / circulating) ** gamma - 1.0),
        k * (stem - one),
        k * (one - two),
        k * (two - three),
        k * (three - circulating),
    )


def organs(spec):
    """The physiological model: lumen, twelve tissues, arterial and venous blood."""
    body = spec["pbpk"]
    names, volume, kp = body["tissues"], body["V"], body["KP"]
    flow = dict(zip(names, body["Q"], strict=True))

    def rates(t, y, p):
        ka, clint, clr, qs, kps = p
        lumen, arterial, venous = y[0], y[13], y[14]
        tissue = dict(zip(names, y[1:13], strict=True))
        leaves = {n: tissue[n] / (v * k * kps) for n, v, k in zip(names, volume, kp, strict=True)}
        ca, cv = arterial / body["VART"], venous / body["VVEN"]
        total = sum(flow[n] for n in names if n not in ("lung",))
        found = {n: qs * flow[n] * (ca - leaves[n]) for n in names if n not in ("lung", "liver")}
        found["lung"] = qs * total * (cv - leaves["lung"])
        found["gut"] = found["gut"] + ka * lumen
        found["kidney"] = found["kidney"] - clr * leaves["kidney"]
        through = qs * (flow["liver"] + flow["gut"] + flow["spleen"])
        found["liver"] = (
            qs * (flow["liver"] * ca + flow["gut"] * leaves["gut"] + flow["spleen"] * leaves["spleen"])
            - through * leaves["liver"]
            - clint * leaves["liver"]
        )
        back = through * leaves["liver"] + sum(
            qs * flow[n] * leaves[n] for n in names if n not in ("lung", "liver", "gut", "spleen")
        )
        return (
            -ka * lumen,
            *(found[n] for n in names),
            qs * total * (leaves["lung"] - ca),
            back - qs * total * cv,
        )

    return rates


def model(name):
    """Equations, and a function from parameters to initial states."""
    spec = json.loads((FOLDER / "spec.json").read_text()) if name == "pbpk15" else {}
    made = {
        "mm2": lambda: Equations(saturable, lambda t, y, p: (y[1] / p[2],), 3, 6, 1),
        "tmdd": lambda: Equations(binding, lambda t, y, p: (y[1],), 5, 10, 1),
        "friberg": lambda: Equations(neutrophils, lambda t, y, p: (y[7],), 8, 9, 1),
        "pbpk15": lambda: Equations(organs(spec), lambda t, y, p: (y[14] / spec["pbpk"]["VVEN"],), 15, 5, 1),
    }[name]()
    start = {"tmdd": lambda p: (0, 0, 0, p[7] / p[8], 0), "friberg": lambda p: (0, 0, 0, *(p[6],) * 5)}
    return made, start.get(name, lambda p: (0,) * made.states)


def reference(name):
    """Fixed floats [subject, fixed], tables, and reference values [subject, sample]."""
    spec = json.loads((FOLDER / "spec.json").read_text())
    p = pl.read_csv(FOLDER / f"parameters_{name}.csv").drop("ID").to_numpy()
    fixed = np.array([(*one, *model(name)[1](one)) for one in p], float)
    y = pl.read_csv(FOLDER / f"reference_{name}.csv.gz")["Y"].to_numpy().reshape(len(p), -1)
    doses, times = np.array(spec["doses"]), np.array(spec["times"])
    return fixed, tables(doses, times, amount=spec["models"][name]["dose"]), y


def tables(time, sample, *, amount=0.0, rate=0.0, state=0, reset=0, after=None):
    """The seven tables of one person; a sample at the time of an entry is taken after it unless `after` says so."""
    time, sample = np.asarray(time, float), np.asarray(sample, float)

    def column(x, dtype):
        return jnp.asarray(np.broadcast_to(np.asarray(x, dtype), time.shape))

    if after is None:
        after = np.searchsorted(time, sample, "right") - 1
    whole = np.int32
    return (
        jnp.asarray(time),
        column(amount, float),
        column(rate, float),
        column(state, whole),
        column(reset, whole),
        jnp.asarray(sample),
        jnp.asarray(after, whole),
    )


def worst(found, expected):
    """Largest relative error, with a floor of a thousandth of the subject's peak."""
    peak = np.max(np.abs(expected), axis=-1, keepdims=True)
    error = np.abs(found - expected) / (1e-3 * peak + np.abs(expected))
    return math.inf if np.any(np.isnan(error)) else float(np.max(error))
