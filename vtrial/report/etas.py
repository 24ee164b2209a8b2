"""Figures of the random effects: their distribution, and what covariates say of them."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import norm

from vtrial import schema
from vtrial.report.goodness import quantiles
from vtrial.report.style import COLOURS, DARK, WIDTH, grid, label, points, smooth, svg

_FEW = 5
"""A covariate with at most so many distinct values is drawn as categories."""
_POINTS = 4000
"""With more points than these in all panels together they are drawn as an image."""


def distributions(tree: xr.DataTree) -> str:
    """Draw the histogram of each eta over N(0, omega^2), and its quantiles."""
    group = tree[schema.GOODNESS_OF_FIT].dataset
    effects = [str(e) for e in group[schema.EFFECT].to_numpy()]

    def draw() -> Figure:
        columns = min(4, len(effects))
        blocks = -(-len(effects) // columns)
        figure, panels = grid(2 * columns * blocks, columns, WIDTH, 2.1)
        for axes in panels:
            axes.set_visible(False)
        for i, effect in enumerate(effects):
            at = 2 * columns * (i // columns) + i % columns
            eta, omega = group[f"ETA_{effect}"].to_numpy(), float(np.sqrt(group["OMEGA"][i, i]))
            _histogram(panels[at], eta, omega)
            panels[at].set(title=f"eta of {effect}, omega {omega:.2g}", xlabel=f"eta of {effect}")
            quantiles(panels[at + columns], eta, omega)
            panels[at + columns].set(xlabel="quantile of N(0, ω²)", ylabel=f"quantile of eta, {effect}")
            panels[at].set_visible(True)
            panels[at + columns].set_visible(True)
        return figure

    return svg(draw, f"Histograms and quantile plots of the posterior mean etas of {', '.join(effects)}.")


def _histogram(axes: Axes, eta: np.ndarray, omega: float) -> None:
    """Draw a histogram as density, under the density of the population."""
    reach = 1.05 * max(3 * omega, float(np.abs(eta).max()))
    count = int(np.clip(2 * len(eta) ** (1 / 3), 6, 30))
    axes.hist(eta, bins=np.linspace(-reach, reach, 2 * count).tolist(), density=True, color=COLOURS[0], alpha=0.45)
    at = np.linspace(-reach, reach, 200)
    axes.plot(at, norm.pdf(at, 0, omega), color=COLOURS[1], lw=1.6)
    axes.axvline(0, color=DARK, lw=0.9)
    axes.set(yticks=[], xlim=(-reach, reach))
    axes.grid(visible=False)


def covariates(tree: xr.DataTree) -> list[str]:
    """Return the names of the covariates."""
    group = tree[schema.CONSTANT_DATA].dataset
    return [str(n) for n in group.data_vars if group[n].dims == (schema.SUBJECT,)]


def against_covariates(tree: xr.DataTree) -> str:
    """Draw each eta against each covariate: points and a smooth, or boxes where the covariate has few values."""
    group, constant, names = tree[schema.GOODNESS_OF_FIT].dataset, tree[schema.CONSTANT_DATA].dataset, covariates(tree)
    effects = [str(e) for e in group[schema.EFFECT].to_numpy()]

    def draw() -> Figure:
        by_effect = len(names) == 1
        columns = min(3, len(effects)) if by_effect else min(4, len(names))
        pairs = [(e, n) for e in effects for n in names]
        if not by_effect and len(names) > columns:
            pairs = [(e, n) for n in names for e in effects]
            columns = min(4, len(effects))
        figure, panels = grid(len(pairs), columns, WIDTH, 2.2)
        for axes, (effect, name) in zip(panels, pairs, strict=True):
            eta = group[f"ETA_{effect}"].to_numpy()
            _against(axes, constant[name].to_numpy(), eta, image=len(eta) * len(pairs) > _POINTS)
            axes.set(xlabel=label(name, str(constant[name].attrs["units"])), ylabel=f"eta of {effect}")
        return figure

    return svg(draw, f"Posterior mean etas of {', '.join(effects)} against covariates {', '.join(names)}.")


def _against(axes: Axes, covariate: np.ndarray, eta: np.ndarray, *, image: bool) -> None:
    """Draw one eta against one covariate, the points as an image where they are many."""
    known = np.isfinite(covariate)  # some may lack it
    covariate, eta = covariate[known], eta[known]
    distinct = np.unique(covariate)
    axes.axhline(0, color=DARK, lw=0.9)
    if len(distinct) <= _FEW:
        groups = [eta[covariate == v] for v in distinct]
        axes.boxplot(
            groups,
            widths=0.5,
            showfliers=False,
            medianprops={"color": COLOURS[1], "lw": 1.6},
            boxprops={"color": DARK},
        )
        for i, own in enumerate(groups):
            points(axes, i + 1 + np.linspace(-0.15, 0.15, len(own)), own, rasterized=image)
        axes.set_xticks(
            np.arange(1, len(distinct) + 1), [f"{v:g}\n(n = {len(o)})" for v, o in zip(distinct, groups, strict=True)]
        )
    else:
        points(axes, covariate, eta, rasterized=image)
        axes.plot(*smooth(covariate, eta, part=0.8), color=COLOURS[1], lw=1.6)
