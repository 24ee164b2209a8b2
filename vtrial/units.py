"""Unit strings, parsed and converted once, at the two edges: reading input and writing output."""

import math
import re
from functools import cache
from typing import TYPE_CHECKING

from vtrial.errors import UserError

if TYPE_CHECKING:
    import pint


_QUANTITY = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+|nan|inf)(?:[eE][-+]?\d+)?)\s*(.*)")
"""A number, and what follows it."""
_SURFACE = re.compile(r"1\.73\s*\*?\s*(?:m(?:\^|\*\*)?2|m²)")
"""The body surface that filtration rates are often divided by; 'mL/min/1.73m^2' is a unit, not a number."""


@cache
def _registry() -> "pint.UnitRegistry":
    import pint  # deferred: reading the unit definitions takes a noticeable fraction of a second

    registry = pint.UnitRegistry(
        cache_folder=None, preprocessors=[lambda text: _SURFACE.sub("standard_body_surface", text)]
    )
    registry.define("standard_body_surface = 1.73 * meter ** 2")
    return registry


def _unit(text: str, where: str) -> "pint.Unit":
    """Parse a unit such as 'mg/L', '1/h' or '' (dimensionless)."""
    try:
        quantity = _registry().parse_expression(text)
    except Exception as error:  # pint lets the errors of its tokenizer and evaluator through, of many kinds
        raise UserError(
            f"{where}: '{text}' is not a unit; write for example 'h', 'mg', 'mg/L', 'L/h' or '1/h'."
        ) from error
    if text.strip() == "":
        return _registry().dimensionless
    if isinstance(quantity, int | float) or quantity.magnitude != 1:
        raise UserError(f"{where}: '{text}' is a number, not a unit; write the unit alone, for example 'mg/L'.")
    return quantity.units


def factor(given: str, wanted: str, *, where: str, molar_mass: float | None = None) -> float:
    """Return what a number in unit `given` is multiplied with to be in unit `wanted`.

    Args:
        given: unit of the number.
        wanted: unit it shall have.
        where: names the column or key in messages.
        molar_mass: in g/mol; converts between masses and amounts of substance, such as ng/mL and nmol/L.

    Raises:
        UserError: a unit is unknown, or the two do not measure the same thing.
    """
    source, target = _unit(given, where), _unit(wanted, where)
    if source.dimensionality == target.dimensionality:
        return float((1 * source).to(target).magnitude)
    mass = (molar_mass or 1.0) * _registry().Unit("g/mol")
    for bridged in (mass * source, source / mass):
        if bridged.dimensionality == target.dimensionality:
            if molar_mass is None:
                raise UserError(
                    f"{where} is given in '{given}', which can be converted to '{wanted}' only by a molar mass; give "
                    "molar_mass, for example '180.2 g/mol'."
                )
            return float(bridged.to(target).magnitude)
    rates = {_registry().Unit(text).dimensionality for text in ("mL/min", "mL/min/m^2")}
    if {source.dimensionality, target.dimensionality} == rates:
        raise UserError(
            f"{where} is given in '{given}', but '{wanted}' is wanted: one is a person's own rate, the other that of a "
            "standard body surface. Work one out from the other by each person's surface, as "
            "vtrial.dosing.AbsoluteFiltrationRate does."
        )
    raise UserError(
        f"{where} is given in '{given}', which cannot be converted to '{wanted}'; correct the unit, or what it stands "
        "for."
    )


def quantity(text: str | float, wanted: str, *, where: str) -> float:
    """Return the number of units `wanted` in a text such as '300 mg' or '12 h'; `where` names the key in messages.

    Raises:
        UserError: the text has no number, no unit, an unknown unit, or one of another dimension.
    """
    found = _QUANTITY.fullmatch(str(text).strip())
    if found is None:
        raise UserError(f"{where}: '{text}' is not a number with a unit; write for example '12 {wanted}'.")
    number, unit = found.groups()
    value = float(number)
    if not math.isfinite(value):
        raise UserError(f"{where}: '{text}' is not a finite number.")
    if not unit.strip() and wanted.strip():
        raise UserError(f"{where}: '{text}' has no unit; write for example '{number} {wanted}'.")
    return value * factor(unit.strip(), wanted, where=where)
