"""The bundled data sets."""

from __future__ import annotations

from collections.abc import Mapping

from aya_core.api import DatasetStrategy, hookimpl
from aya_plugins.datasets.delimited import Csv
from aya_plugins.datasets.hub import Hub
from aya_plugins.datasets.jsonl import Jsonl
from aya_plugins.datasets.micro_world_dataset import MicroWorld
from aya_plugins.datasets.mixture import Mixture
from aya_plugins.datasets.parquet import Parquet
from aya_plugins.datasets.save_to_disk import SaveToDisk
from aya_plugins.datasets.text import Text


@hookimpl
def aya_datasets() -> Mapping[str, type[DatasetStrategy]]:
    """Offer the bundled data sets."""
    return {
        "jsonl": Jsonl, "parquet": Parquet, "csv": Csv, "save-to-disk": SaveToDisk, "text": Text, "hub": Hub, "mixture": Mixture,
        "micro-world": MicroWorld,
    }  # fmt: skip
