"""An epidemic in a closed population."""

from typing import ClassVar

from vtrial.model import AbstractModel


class SusceptibleInfectedRecovered(AbstractModel):
    """Susceptible, infected and recovered people of a closed population of N; one person is infected at time 0.

    Source: Kermack and McKendrick 1927, doi:10.1098/rspa.1927.0118.
    """

    time: ClassVar = "d"
    states: ClassVar = {"susceptible": "", "infected": "", "recovered": ""}
    parameters: ClassVar = {"N": "", "BETA": "1/d", "GAMMA": "1/d"}
    outputs: ClassVar = {"infected": "", "recovered": ""}
    linear: ClassVar = False

    def initial(self, p):
        """Start with one infected person."""
        return {"susceptible": p["N"] - 1.0, "infected": 1.0, "recovered": 0.0}

    def rates(self, t, y, p):
        """Infect and recover."""
        infection = p["BETA"] * y["susceptible"] * y["infected"] / p["N"]
        recovery = p["GAMMA"] * y["infected"]
        return {"susceptible": -infection, "infected": infection - recovery, "recovered": recovery}

    def observe(self, t, y, p):
        """Observe the infected and the recovered."""
        return {"infected": y["infected"], "recovered": y["recovered"]}
