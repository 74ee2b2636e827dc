"""Formats of files that bulk predictions read and write."""

from enum import StrEnum


class InputFormat(StrEnum):
    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"
    ZIP = "zip"
    DATASET = "dataset"


class ResultFormat(StrEnum):
    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"
