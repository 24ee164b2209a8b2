"""Hydra finds studies as primary configurations beside conf/."""

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin

from vtrial._resources import directory


class StudiesPath(SearchPathPlugin):
    """Adds studies/ to the places where Hydra looks for a configuration."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append the folder."""
        search_path.append("vtrial", f"file://{directory('studies')}")
