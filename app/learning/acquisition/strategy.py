"""How candidates may be ranked."""

from enum import StrEnum


class Strategy(StrEnum):
    BATCH = "batch"
    UNCERTAINTY = "uncertainty"
    DIVERSITY = "diversity"
    TARGET = "target"


class Optimum(StrEnum):
    HIGHEST = "highest"
    LOWEST = "lowest"
