"""The report of a run: one HTML file that needs nothing else to be read."""

from ranvier.report.page import render
from ranvier.report.report import Mistake, Report

__all__ = ["Mistake", "Report", "render"]
