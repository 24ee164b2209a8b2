"""The report: a finished result as one self-contained HTML page."""

from vtrial.report.page import render

__all__ = ["render"]
