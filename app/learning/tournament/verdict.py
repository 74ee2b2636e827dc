"""Whether a model that was chosen automatically deserves to be used. Importable without torch."""

from app.registry.manifest import Manifest


def is_shown_to_help(manifest: Manifest) -> bool:
    """False for the winner of a tournament that beat baselines or known models by no more than chance; else True."""
    search = manifest.training.search or {}
    return search.get("kind") != "tournament" or bool(search.get("is_better_than_baseline"))
