"""Where conf/, models/ and studies/ are: inside the package in a wheel, beside it in a checkout."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def directory(name: str) -> Path:
    """Return the folder `name` ("conf", "models" or "studies") of this installation.

    Raises:
        FileNotFoundError: the installation is incomplete.
    """
    for parent in (_PACKAGE, _PACKAGE.parent):
        # vtrial/models.py is a file, so only a folder counts.
        if (parent / name).is_dir():
            return parent / name
    raise FileNotFoundError(
        f"vtrial is installed without its folder '{name}'; install it again from its wheel or checkout."
    )
