"""What each column is multiplied with to be in the model's units."""

from collections.abc import Mapping
from typing import NamedTuple

from vtrial import units
from vtrial.errors import UserError, nearest
from vtrial.model import AbstractModel

_EXAMPLE = {"TIME": "h", "AMT": "mg", "DV": "mg/L"}


class Conversion(NamedTuple):
    """The units of a file as the user says them."""

    units: Mapping[str, str | Mapping[str, str]]
    """By column; of DV perhaps by output."""
    molar_mass: str | Mapping[str, str]
    """One, or by output and state; "" for none."""

    def check(self) -> None:
        """Check the molar masses; raises `UserError` at the first that is none."""
        for text in self.molar_mass.values() if isinstance(self.molar_mass, Mapping) else (self.molar_mass,):
            if text and units.quantity(text, "g/mol", where="data.molar_mass") <= 0:
                raise UserError(f"data.molar_mass is '{text}'; it must be positive.")

    def check_names(self, model: AbstractModel) -> None:
        """Check that outputs and states that units are given for are the model's; raises `UserError` otherwise."""
        given = self.units.get("DV")
        for where, named, known in (
            ("units.DV", given, tuple(model.outputs)),
            ("molar_mass", self.molar_mass, (*model.outputs, *model.states)),
        ):
            for name in named if isinstance(named, Mapping) else ():
                if name not in known:
                    raise UserError(
                        f"data.{where} has '{name}', which model {type(model).__name__} does not. "
                        f"{nearest(name, known)}"
                    )

    def unit(self, column: str) -> str:
        """Return the unit of a column that has one; raises `UserError` if the user does not say it."""
        if column not in self.units and column == "OCC":
            return ""
        if column not in self.units:
            example = _EXAMPLE.get(column, "kg")
            raise UserError(f"data.units lacks the unit of column {column}; add for example '{column}: {example}'.")
        found = self.units[column]
        if not isinstance(found, str):
            raise UserError(f"data.units.{column} is a mapping; only DV has a unit for each output. Give one unit.")
        return found

    def output(self, name: str, model: AbstractModel) -> float:
        """Return the factor of DV for an output."""
        given = self.units.get("DV")
        if isinstance(given, Mapping) and name not in given:
            raise UserError(f"data.units.DV lacks the unit of output {name}; add for example '{name}: mg/L'.")
        unit = given[name] if isinstance(given, Mapping) else self.unit("DV")
        where = f"Column DV (output {name})"
        return units.factor(unit, model.outputs[name], where=where, molar_mass=self._molar_mass(name))

    def dose(self, column: str, state: str, model: AbstractModel) -> float:
        """Return the factor of AMT, RATE, DUR or II for a state."""
        if column in ("DUR", "II"):
            unit = self.unit(column if column in self.units else "TIME")
            return units.factor(unit, model.time, where=f"Column {column}")
        wanted = model.states[state]
        if column == "AMT":
            unit = self.unit("AMT")
        else:
            unit = self.unit("RATE") if "RATE" in self.units else f"({self.unit('AMT')})/({self.unit('TIME')})"
            wanted = f"({wanted})/({model.time})"
        return units.factor(unit, wanted, where=f"Column {column}", molar_mass=self._molar_mass(state))

    def _molar_mass(self, name: str) -> float | None:
        """Return the molar mass of what an output or a state is of, in g/mol."""
        text = self.molar_mass.get(name, "") if isinstance(self.molar_mass, Mapping) else self.molar_mass
        return units.quantity(text, "g/mol", where="data.molar_mass") if text else None
