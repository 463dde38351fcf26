"""Config folders of installed packages: each entry point of the group ``mmdx.configs`` names one, such as ``ecg.conf``."""

from __future__ import annotations

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin


class InstalledConfigs(SearchPathPlugin):
    """Adds the config folder of every plug-in package to Hydra's search path, behind mmdx's own."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append ``pkg://MODULE`` for each entry point."""
        from importlib.metadata import entry_points

        for point in sorted(entry_points(group="mmdx.configs"), key=lambda p: p.name):
            search_path.append(f"mmdx-{point.name}", f"pkg://{point.value}")
