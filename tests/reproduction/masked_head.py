"""How well a masked model predicts masked words of sentences that it was not trained on.

    python tests/reproduction/masked_head.py minilm-l6-body minilm-mlm [--crows-pairs]

Of each of the 500 sentences of `mirror:wiki-split-heldout` 15 % of the pieces are replaced by the mask, the same ones
for every model with the same tokenizer: cross entropy in nat and the share of pieces that are the model's first guess.
Beside it, what the best model without context would reach: each piece by its frequency in `mirror:wiki-split`.

`--crows-pairs` adds the official rule of CrowS-Pairs. A run refuses it on an untrained head, whose weights are
random; here it can be seen that random weights are no fair coin.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from typing import Any

from evenhand.mirrored_texts import read
from evenhand.models import load, resolve

BATCH = 32
LONGEST = 128


def masked(tokenizer: Any) -> list[Any]:
    """Rows with the places that are asked for, drawn with a seed of their own."""
    from datasets import Dataset

    from evenhand.training_data import encode

    rows = Dataset.from_dict({"text": read("mirror:wiki-split-heldout")})
    found, _ = encode(rows, tokenizer, kind="masked", max_length=LONGEST, vocabulary=len(tokenizer))
    return found


def quality(name: str) -> tuple[str, float, float, int]:
    """What the model is called, cross entropy in nat, share of first guesses in %, number of masked pieces."""
    import torch

    from evenhand.training_data import Collator

    loaded = load(resolve(name), kind="masked", dtype="float32")
    collate = Collator(tokenizer=loaded.tokenizer, kind="masked", bins={}, seed=99)
    rows = masked(loaded.tokenizer)
    loss = hits = count = 0.0
    with torch.no_grad():
        for start in range(0, len(rows), BATCH):
            batch = collate(rows[start : start + BATCH])["batch"]
            asked = batch.labels != -100
            ids = batch.input_ids.masked_fill(asked, loaded.tokenizer.mask_token_id)
            logp = loaded.model(input_ids=ids, attention_mask=batch.attention_mask).logits[asked].log_softmax(-1)
            gold = batch.labels[asked]
            loss -= float(logp.gather(1, gold[:, None]).sum())
            hits += int((logp.argmax(-1) == gold).sum())
            count += len(gold)
    return loaded.info.display_name, loss / count, 100 * hits / count, int(count)


def without_context(tokenizer: Any) -> tuple[float, float]:
    """Cross entropy and share of first guesses of piece frequencies (one added to each count)."""
    from evenhand.training_data import Collator

    counts: Counter[int] = Counter()
    for ids in tokenizer(read("mirror:wiki-split"), add_special_tokens=False)["input_ids"]:
        counts.update(ids)
    total = sum(counts.values()) + len(tokenizer)
    labels = Collator(tokenizer=tokenizer, kind="masked", bins={}, seed=99)(masked(tokenizer))["labels"]
    gold = labels[labels != -100].tolist()
    top = counts.most_common(1)[0][0]
    loss = -sum(math.log((counts[token] + 1) / total) for token in gold) / len(gold)
    return loss, 100 * sum(token == top for token in gold) / len(gold)


def crows_pairs(name: str) -> str:
    """CrowS-Pairs by the official rule, with intervals, in the format that the processor is good at."""
    from evenhand.evidence import compare_benchmark
    from evenhand.measured import Measured
    from evenhand_sdk import Benchmark
    from evenhand_standard.benchmarks import crows_pairs as benchmark

    loaded = load(resolve(name), kind="masked")
    pairs = benchmark.chosen_pairs(benchmark.CrowsPairsOptions(), None)
    measured = Measured(loaded.model, loaded.tokenizer, "masked", title="CrowS-Pairs")
    records = benchmark.score(measured, pairs, "official")
    shown = Benchmark(name="crows-pairs", title="", score=lambda _: records, metrics=benchmark.metrics(True))
    entry = compare_benchmark(shown, records, records)
    values = [(m["name"], m["before"], m["unit"]) for m in entry["metrics"]]
    return "\n".join(f"  {n}: {v['value']:.4g} {u} [{v['low']:.4g}, {v['high']:.4g}]" for n, v, u in values)


if __name__ == "__main__":
    names = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    for each in names:
        title, nat, share, number = quality(each)
        print(f"{title}: {nat:.3f} nat, {share:.1f} % first guesses, {number:,} masked pieces")
        if "--crows-pairs" in sys.argv:
            print(crows_pairs(each))
    nat, share = without_context(load(resolve(names[0])).tokenizer)
    print(f"piece frequencies alone: {nat:.3f} nat, {share:.1f} % first guesses")
