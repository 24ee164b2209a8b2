"""vtrial: a pharmacometric virtual-patient trial engine.

One study file goes, in one command, from a dataset to a decision: dataset, calibrated posterior, virtual patients,
trial arms, endpoints, operating characteristics, report. Start with `vtrial` on the command line; the straight line
of a run is `vtrial.run.run`.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("vtrial")
except PackageNotFoundError:  # a plain checkout on sys.path, not installed
    __version__ = "0+checkout"
