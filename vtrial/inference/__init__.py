"""From a statistical model and a dataset to a posterior."""

from vtrial.inference.base import AbstractInference
from vtrial.inference.checkpoint import Checkpoint, identity
from vtrial.inference.cross_chain import CrossChain
from vtrial.inference.laplace import Laplace
from vtrial.inference.nuts import Nuts
from vtrial.inference.pathfinder import Pathfinder
from vtrial.inference.prior import Prior
from vtrial.inference.progress import Progress
from vtrial.inference.repeated import Repeated, stated
from vtrial.inference.saved import Saved
from vtrial.inference.svi import Svi

__all__ = [
    "AbstractInference",
    "Checkpoint",
    "CrossChain",
    "Laplace",
    "Nuts",
    "Pathfinder",
    "Prior",
    "Progress",
    "Repeated",
    "Saved",
    "Svi",
    "identity",
    "stated",
]
