"""Is the association gone, or only hidden from the adversary that was trained against? A fresh probe answers.

On held-out sentences of the pair bank, group words masked, a network that the training never met guesses whether the
occupation is commonly held by women or by men, from the states of a layer. No occupation is guessed by a probe that was
trained on it: occupations come in blocks, a fresh probe is trained on all earlier ones and codes the next,

    description length  =  n_1 * 1 bit  +  sum over later blocks of  -log2 p(label | state)

the online code of Voita and Titov 2020. A uniform code needs 1 bit an item, so a shorter one says that the states tell
the association, and how easily; about 1 bit, or more, with half of the labels right, says that they do not.

Source: Elazar and Goldberg 2018 (what an adversary cannot find, a new one can); Voita and Titov 2020 (description
length).
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evenhand_sdk import Axis, Fact, RunContext, Section, progress
from evenhand_standard.objective.adversary_heads import pooled
from evenhand_standard.objective.group_masking import masked, placeholder_of

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

ITEMS = 264
"""Sentences: six for each of the 44 held-out occupations with a label."""
BLOCKS = (0.125, 0.25, 0.5, 1.0)
"""Shares of the occupations that end a block."""
ORDERS = 5
"""Random orders of the occupations that are averaged."""
STEPS, HIDDEN, RATE, DECAY = 40, 32, 5e-3, 1e-2


@dataclass(frozen=True)
class Probed:
    """What fresh probes found, averaged over orders."""

    bits: float
    """Description length in bit per item."""
    accuracy: float
    """Share of the items behind the first block whose label was guessed."""
    items: int


def probe_section(run: RunContext, model: PreTrainedModel, axis: Axis, layer: int) -> Section:
    """The same probe on the untouched model and on this one, as a section of the report."""
    from evenhand_standard.pair_bank import knows, pairs

    title = f"A fresh probe for {axis.name}"
    if not knows(axis):
        text = (
            "There are no labelled sentences for this axis, so that nothing is said about what a new probe would find."
        )
        return Section(title=title, text=text)
    items = [item for item in pairs(axis, "heldout") if item.stereotype in axis.groups]
    by_occupation: dict[str, list[Any]] = {}
    for item in items:
        by_occupation.setdefault(item.occupation, []).append(item)
    each = max(1, ITEMS // len(by_occupation))
    chosen = [item for found in by_occupation.values() for item in found[:each]]
    texts = [masked(item.female_text, axis, placeholder_of(run)) for item in chosen]
    labels = [axis.groups.index(item.stereotype) for item in chosen]
    names = [item.occupation for item in chosen]
    found = {}
    with progress("Probing hidden states", total=2, unit="models") as bar:
        for when, one in (("before", run.services.load_base()), ("after", model)):
            found[when] = probed(features(run, one, texts, layer), labels, names, seed=run.seed_for("probe"))
            bar.advance(1)
    facts = [Fact(label="sentences", value=len(chosen)), Fact(label="occupations", value=len(by_occupation))]
    for when, one in found.items():
        facts.append(Fact(label=f"description length {when}, bit per item (uniform: 1)", value=round(one.bits, 3)))
        facts.append(Fact(label=f"labels guessed {when} (chance: 0.5)", value=round(one.accuracy, 3)))
    text = (
        f"A network that the training never met guesses from the states behind layer {layer} whether an occupation is "
        "commonly held by women or by men, in sentences whose group words are masked, and always for occupations that "
        "it was not trained on. A description length of 1 bit or more, with half of the labels right, means that it "
        "cannot tell; a shorter one means that the association is still there, whatever the training's adversary found."
    )
    return Section(title=title, text=text, facts=facts)


def features(run: RunContext, model: PreTrainedModel, texts: Sequence[str], layer: int) -> torch.Tensor:
    """The pooled states [n, H] behind a layer."""
    import torch

    parts = [pooled(states[layer], mask).cpu() for _, states, mask in run.services.hidden_states(texts, model=model)]
    return torch.cat(parts)


def probed(states: torch.Tensor, labels: Sequence[int], names: Sequence[str], *, seed: int) -> Probed:
    """Description length and accuracy of two labels, from states [n, H]; items of one name stay together."""
    import torch

    target = torch.tensor(labels)
    total = right = coded = 0.0
    for order in range(ORDERS):
        ranks = _ranks(labels, names, random.Random(f"{seed}-{order}"))
        place = torch.tensor([ranks[name] for name in names])
        ends = [max(2, round(share * len(ranks))) for share in BLOCKS]
        total += float((place < ends[0]).sum())
        for start, end in zip(ends, ends[1:], strict=False):
            seen, new = place < start, (place >= start) & (place < end)
            logp = _guesses(states[seen], target[seen], states[new], seed=seed + order)
            chosen = logp.gather(1, target[new][:, None])
            total += float(-chosen.sum()) / math.log(2)
            right += float((logp.argmax(1) == target[new]).sum())
            coded += float(new.sum())
    return Probed(bits=total / (ORDERS * len(labels)), accuracy=right / coded, items=len(labels))


def _ranks(labels: Sequence[int], names: Sequence[str], draw: random.Random) -> dict[str, int]:
    """A random order of the names in which the labels alternate, so that every block has both."""
    by_label: dict[int, list[str]] = {}
    for name, label in dict(zip(names, labels, strict=True)).items():
        by_label.setdefault(label, []).append(name)
    for found in by_label.values():
        draw.shuffle(found)
    longest = max(map(len, by_label.values()))
    order = [found[k] for k in range(longest) for found in by_label.values() if k < len(found)]
    return {name: k for k, name in enumerate(order)}


def _guesses(states: torch.Tensor, labels: torch.Tensor, new: torch.Tensor, *, seed: int) -> torch.Tensor:
    """Log-probabilities [m, 2] of new states [m, H], by a network trained on states [n, H] from scratch."""
    import torch

    mean = states.mean(0)  # one scale for all units: what stands out of the states does so for the probe, too
    spread = (states - mean).square().mean().sqrt().clamp_min(1e-6)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = torch.nn.Sequential(
            torch.nn.Linear(states.shape[1], HIDDEN), torch.nn.GELU(), torch.nn.Linear(HIDDEN, 2)
        )
        optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
        with torch.enable_grad():
            for _ in range(STEPS):
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(network((states - mean) / spread), labels).backward()
                optimizer.step()
    with torch.no_grad():
        return network((new - mean) / spread).log_softmax(-1)
