"""Run by `accelerate launch` in `test_processes.py`: measures a tiny model and writes what this process found."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from evenhand.contributions import DecodingRule, Request
from evenhand.measured import Measured
from evenhand.processes import rank_and_count
from evenhand_sdk.tiny import tiny_causal, tiny_masked, tiny_sentences


def main(folder: Path) -> None:
    flat = DecodingRule(name="flat", next_logits=lambda ids, logits, contexts: logits / 2)
    sentences = tiny_sentences()[:60]
    found: dict[str, object] = {}
    for name, model, kind, rules in (
        ("causal", tiny_causal(), "causal", ()),
        ("rules", tiny_causal(), "causal", (flat,)),
        ("masked", tiny_masked(), "masked", ()),
    ):
        measured = Measured(*model, kind, rules, "float32", batch_tokens=256)  # type: ignore[arg-type]
        found[name] = [score.total for score in measured.score(sentences)]
        ids = [measured.ids(text) for text in sentences[:5]]
        found[f"{name} distributions"] = [float(d.exp().max()) for d in measured.distributions(ids, [[1, 2]] * 5)]
        if kind == "causal":
            answers = measured.generate([Request(prompt=text, max_new_tokens=4) for text in sentences[:20]])
            found[f"{name} answers"] = [answer.text for answer in answers]
    rank, count = rank_and_count()
    (folder / f"{count}-{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
