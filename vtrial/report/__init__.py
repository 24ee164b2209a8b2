"""The report: a finished result as one self-contained HTML page, and its tables as files."""

from vtrial.report.export import parameter_files
from vtrial.report.nonmem import nonmem_files
from vtrial.report.page import render

__all__ = ["nonmem_files", "parameter_files", "render"]
