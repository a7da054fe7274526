"""What a step or a training left behind, as files, which a resumed run and a loaded model read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand.contributions import Artifact
from evenhand.errors import DigestMismatch

if TYPE_CHECKING:
    from evenhand.training_result import TrainingResult


def write_artifact(folder: Path, artifact: Artifact) -> None:
    """Tensors as safetensors, facts as JSON, in a sealed folder."""
    import json

    from safetensors.torch import save_file

    from evenhand.cache import atomic_folder
    from evenhand.manifest import plain

    with atomic_folder(folder) as temporary:
        save_file(
            {k: v.detach().contiguous().cpu() for k, v in artifact.tensors.items()}, temporary / "tensors.safetensors"
        )
        (temporary / "meta.json").write_text(json.dumps(plain(dict(artifact.meta)), indent=1))


def read_artifact(folder: Path) -> Artifact | None:
    """The counterpart of `write_artifact`; None when there is none that is whole."""
    import json

    from safetensors.torch import load_file

    from evenhand.cache import damage

    if not folder.is_dir() or damage(folder):
        return None
    meta = json.loads((folder / "meta.json").read_text())
    # As they lie in the file, tensors may begin anywhere; on some processors a product's last bits depend on where.
    tensors = {name: tensor.clone() for name, tensor in load_file(folder / "tensors.safetensors").items()}
    return Artifact(tensors=tensors, meta=meta)


def demand_artifact(folder: Path) -> Artifact:
    """An artifact that a finished model cannot do without; DigestMismatch for one that is damaged or not there."""
    from evenhand.cache import damage

    found = read_artifact(folder)
    if found is None:
        raise DigestMismatch(
            f"the fitted part of a step is damaged: {damage(folder) or 'it changed while it was read'}",
            where=str(folder),
            do="copy the folder again, or run the recipe again",
        )
    return found


def write_training(folder: Path, model: Any, result: TrainingResult, names: set[str] | None) -> None:
    """Keep what a finished training moved, so that a resumed run need not repeat it; checkpoints go."""
    import shutil

    from safetensors.torch import save_file

    from evenhand.cache import atomic_folder
    from evenhand.training_checkpoints import STATE_OF_TERMS
    from evenhand.training_result import write_result

    moved = {n: p.detach().contiguous() for n, p in model.named_parameters() if names is None or n in names}
    with atomic_folder(folder / "final") as temporary:
        save_file(moved, temporary / "moved.safetensors")
        write_result(temporary, result)
        shutil.move(folder / STATE_OF_TERMS, temporary / STATE_OF_TERMS)
    for checkpoint in folder.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)


def read_training(folder: Path, model: Any) -> TrainingResult | None:
    """Put back what a finished training moved; None when it was not finished or its files are damaged."""
    import torch
    from safetensors.torch import load_file

    from evenhand.cache import damage
    from evenhand.training_result import read_result

    final = folder / "final"
    if not final.is_dir() or damage(final, full=True):
        return None
    stored = load_file(final / "moved.safetensors")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in stored:
                parameter.copy_(stored[name])
    return read_result(final)
