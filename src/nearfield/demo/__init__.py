"""The demonstration that ships with the package: a factory line."""

from nearfield.demo.line import Display, LineSettings, run_line
from nearfield.demo.score import Score

__all__ = ["Display", "LineSettings", "Score", "run_line"]
