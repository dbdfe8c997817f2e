"""The bundles' networks for tests: the ``scripts`` of all bundles can be loaded in one process this way."""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import torch

BUNDLES = Path(__file__).parents[2] / "bundles"


def network_module(bundle: str, name: str = "network") -> ModuleType:
    """Load ``scripts/<name>.py`` of a bundle, whose package gets a name of its own."""
    package, folder = f"{bundle}_scripts", BUNDLES / bundle / "scripts"
    if package not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            package, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        sys.modules[package] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[package])
    return importlib.import_module(f"{package}.{name}")


UNet3DEncoder = network_module("alpnet3d", "encoder").UNet3DEncoder
CANetEncoder = network_module("lsnet", "encoder").CANetEncoder
ResNeXt3DEncoder = network_module("adnet", "encoder_3d").ResNeXt3DEncoder


def episode(size, batch=2, shots=1, seed=1):
    """Random query ``(B, 1, *S)``, support images and masks ``(B, K, 1, *S)``; a mask is a corner block and specks."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(batch, 1, *size, generator=generator)
    support = torch.randn(batch, shots, 1, *size, generator=generator)
    mask = (torch.rand(batch, shots, 1, *size, generator=generator) > 0.95).float()
    corner = tuple(slice(0, 5 * n // 8) for n in size)
    mask[(..., *corner)] = 1.0
    return image, support, mask
