"""The exponential of a matrix times a vector by its best rational approximation: a few sparse solves for any interval.

exp(x) is approximated by a constant and sixteen poles, in pairs of conjugates, with an error of at most 2.1e-16 at all
x <= 0 (Cody, Meinardus and Varga 1969, J Approx Theory 2:50; for matrices Pusa 2011,
doi:10.13182/NSE10-81). Poles by the Caratheodory-Fejer method (Trefethen, Weideman and Schmelzer 2006,
doi:10.1007/s10543-006-0077-9), residues by Lawson's algorithm, in 40 digits.

At complex x the error grows, and so does the Chebyshev function with the same poles: the gauge. Where that is below
`REACH` the error is below 1e-13, at all x whose angle to the negative axis is at most 80 degrees. Nearer the imaginary
axis, or to its right, this holds only up to where the gauge is first above `SIGHT`.
"""

from typing import NamedTuple

CONSTANT = 2.1248700775292754e-16
"""The approximant at minus infinity, which is also its largest error at negative numbers."""

POLES = (
    complex(6.416177695989518, 1.1941223929606608),
    complex(5.948152265830974, 3.5874573607501974),
    complex(4.993174734570975, 5.996881711345205),
    complex(3.5091036052060365, 8.436198982362178),
    complex(1.419375893825278, 10.925363479167487),
    complex(-1.413928466298025, 13.497725690557166),
    complex(-5.264971349288433, 16.220221458622714),
    complex(-10.843917099467792, 19.277446139637053),
)
"""Each stands for itself and its conjugate."""

RESIDUES = (
    complex(-64.50087788693342, -224.5944068270915),
    complex(113.3977515099789, 101.94721655734706),
    complex(-62.51839226731629, -11.19039092601165),
    complex(15.0595851975453, -5.751405305421381),
    complex(-1.4793006972187046, 1.7686588328597317),
    complex(0.04102313548544106, -0.15743466136911857),
    complex(0.00021151747598495383, 0.004389296935482768),
    complex(-5.090157935018695e-07, -2.4220017217727375e-05),
)
"""Of the approximant at its poles."""

GAUGE = (
    complex(245414429.7138131, -301309768.83292526),
    complex(-283433226.7096653, -146640017.9054901),
    complex(-55901037.44544019, 204892189.777162),
    complex(111420709.40926877, 5832740.544063517),
    complex(-6895908.76972873, -43817514.685403794),
    complex(-11740952.428402597, 4169396.8203311074),
    complex(980928.7084555778, 1943146.9519863843),
    complex(156639.69579197562, -73675.1064886048),
)
"""Residues of the Chebyshev function, which is between -1 and 1 at negative numbers, and 1 at infinity."""

REACH = 10.0
"""Largest gauge of a step, relative to the states."""
SIGHT = 1e5
"""Largest gauge of a matrix times a step whose double is tried too."""


class Rational(NamedTuple):
    """Says that linear equations are carried by this approximation, whatever their structure."""
