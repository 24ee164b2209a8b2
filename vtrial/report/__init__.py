"""The report: a finished result as one self-contained HTML page, and its table of parameters as files."""

from vtrial.report.export import parameter_files
from vtrial.report.page import render

__all__ = ["parameter_files", "render"]
