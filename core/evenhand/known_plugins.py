"""Which distribution offers which first-party plugin: a missing one is answered with its pip line."""

from __future__ import annotations

from typing import Final

KNOWN_PLUGINS: Final[dict[str, str]] = {
    "adapter-fusion": "evenhand-adapterfusion",
    "aul": "evenhand-standard",
    "bbq": "evenhand-standard",
    "bold": "evenhand-standard",
    "cbbq": "evenhand-standard",
    "contrastive-explanation": "evenhand-standard",
    "counterfactual-augmentation": "evenhand-standard",
    "counterfactual-averaging": "evenhand-standard",
    "counterfactual-sentiment": "evenhand-standard",
    "crows-pairs": "evenhand-standard",
    "debiasing-adapter": "evenhand-adapterfusion",
    "disco": "evenhand-standard",
    "ethics": "evenhand-standard",
    "holistic-bias": "evenhand-standard",
    "honest": "evenhand-standard",
    "kobbq": "evenhand-standard",
    "lambada": "evenhand-standard",
    "lpbs": "evenhand-standard",
    "pair-gap": "evenhand-standard",
    "pair-parity": "evenhand-standard",
    "parity-monitor": "evenhand-standard",
    "perplexity": "evenhand-standard",
    "real-toxicity-prompts": "evenhand-standard",
    "seat": "evenhand-standard",
    "seegull": "evenhand-standard",
    "selective-update": "evenhand-standard",
    "stereoset": "evenhand-standard",
    "task-adapter": "evenhand-adapterfusion",
    "temperature": "evenhand-standard",
    "text-degeneration": "evenhand-standard",
    "unigram-mix": "evenhand-standard",
    "weight-noise": "evenhand-standard",
    "weight-rounding": "evenhand-standard",
    "winobias": "evenhand-standard",
    "winogender": "evenhand-standard",
}
"""Plugin name -> distribution. A test compares it with the entry points under `plugins/`."""
