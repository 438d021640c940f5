"""The study page: one self-contained HTML file, made from the study's own files and nothing else."""

from raytune_app.report.page import write_report

__all__ = ["write_report"]
