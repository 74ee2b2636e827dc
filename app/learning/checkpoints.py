"""Networks to and from manifest + safetensors bytes. No pickle."""

import hashlib

import safetensors.torch
import torch
from pydantic import ValidationError
from torch import nn

from app.core.errors import ArtifactCorrupt
from app.learning.networks.factory import build_network
from app.registry.manifest import Manifest


def network_to_bytes(network: nn.Module) -> bytes:
    """Weights and buffers as safetensors."""
    return safetensors.torch.save({k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()})


def weights_digest(weights: bytes) -> str:
    """sha256 in hexadecimal."""
    return hashlib.sha256(weights).hexdigest()


def load_network(manifest: Manifest, weights: bytes, device: torch.device) -> nn.Module:
    """The network of a checkpoint, in evaluation mode.

    Raises ArtifactCorrupt when the weights are not those of the manifest or do not fit its architecture.
    """
    if manifest.weights_sha256 and weights_digest(weights) != manifest.weights_sha256:
        raise ArtifactCorrupt(f"The weights of {manifest.name} are not the ones its manifest names (sha256 differs).")
    try:
        network = build_network(manifest.architecture, manifest.network)
        network.load_state_dict(safetensors.torch.load(weights))
    except (safetensors.SafetensorError, RuntimeError, ValidationError) as error:
        raise ArtifactCorrupt(f"The weights of {manifest.name} do not fit its architecture: {error}") from error
    return network.to(device).eval()
