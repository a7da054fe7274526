"""The likelihood engine beside others, on the same model, number format, texts and machine.

python tests/performance/likelihood.py crows  --lm-eval PYTHON [--rounds 5] [--items N] [--dtype bfloat16]
python tests/performance/likelihood.py bbq    --lm-eval PYTHON [--category Age]
python tests/performance/likelihood.py masked [--items 12]
python tests/performance/likelihood.py shares [--items 60]

`crows`: log-likelihoods of all sentences of CrowS-Pairs after a start token, as the task of lm-eval asks for them.
`bbq`: log-likelihoods of the three answers of each question of a category. Both sides of a round run one after the
other, each in a fresh process; lm-eval 0.4.13 runs in the interpreter PYTHON, with the batch size that was fastest on
a part of the texts. `masked`: pseudo-log-likelihoods on a model of BERT-base shape with random weights, against one
masked copy a call.
Printed are medians over rounds with 95 % bootstrap intervals; a ratio above 1 is how many times faster we are.
`processor` is the time of all cores in the whole process.
`shares`: of CrowS-Pairs as the toolkit scores it, which part of the tokens shared beginnings save, and which part of
the time of one core goes into matrix products; and how far both forms of bf16 are from float32.

The folder of benchmark files is read from EVENHAND_DATA.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

BATCHES = (16, 32, 64, 128)


# ------------------------------------------------------------------------------------------------------ requests
def crows_requests(limit: int | None) -> list[tuple[str, str]]:
    """(context, continuation): whole sentences after nothing."""
    path = Path(os.environ["EVENHAND_DATA"]) / "crows_pairs" / "crows_pairs_anonymized.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[:limit]
    return [("", row[side]) for row in rows for side in ("sent_more", "sent_less")]


def bbq_requests(category: str, limit: int | None) -> list[tuple[str, str]]:
    """(context and question, answer), three for each question."""
    path = Path(os.environ["EVENHAND_DATA"]) / "bbq" / "data" / f"{category}.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()[:limit]
    found = []
    for row in map(json.loads, lines):
        prompt = f"{row['context']}\nQ: {row['question']}\nA:"
        found += [(prompt, " " + row[f"ans{k}"]) for k in range(3)]
    return found


# --------------------------------------------------------------------------------- one side, in a process of its own
def side_lm_eval(requests: list[tuple[str, str]], model: str, dtype: str, batch: int) -> dict[str, object]:
    import torch

    torch.set_num_threads(os.cpu_count() or 1)
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    host = HFLM(pretrained=model, dtype=dtype, device="cpu", batch_size=batch)
    asked = [Instance(request_type="loglikelihood", doc={}, arguments=r, idx=k) for k, r in enumerate(requests)]
    start = time.perf_counter()
    scores = [score for score, _ in host.loglikelihood(asked, disable_tqdm=True)]
    return {"scoring": time.perf_counter() - start, "scores": scores}


def side_evenhand(requests: list[tuple[str, str]], model: str, dtype: str, batch: int) -> dict[str, object]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from evenhand.scoring import score_texts
    from evenhand.scoring_continuations import score_continuations

    torch.set_num_threads(os.cpu_count() or 1)
    # "auto" is the toolkit's own choice: float32 weights under autocast to bf16
    weights = torch.float32 if dtype == "auto" else getattr(torch, dtype)
    host = AutoModelForCausalLM.from_pretrained(model, dtype=weights)
    tokenizer = AutoTokenizer.from_pretrained(model)
    asked = "float32" if dtype == "float32" else "auto"
    start = time.perf_counter()
    if requests[0][0]:
        found = score_continuations(host, tokenizer, requests, dtype=asked, batch_tokens=batch)
    else:
        texts = [continuation for _, continuation in requests]
        begin = tokenizer.bos_token_id
        found = score_texts(host, tokenizer, texts, dtype=asked, start_token=begin, batch_tokens=batch)
    return {"scoring": time.perf_counter() - start, "scores": [score.total for score in found]}


def side_one_mask_a_call(items: int, dtype: str) -> dict[str, object]:
    import torch

    model, tokenizer, texts = bert_base(items, dtype)
    special = set(tokenizer.all_special_ids)
    start = time.perf_counter()
    scores = []
    with torch.no_grad():
        for text in texts:
            ids = torch.tensor([tokenizer(text)["input_ids"]])
            total = 0.0
            for position, token in enumerate(ids[0].tolist()):
                if token not in special:
                    copy = ids.clone()
                    copy[0, position] = tokenizer.mask_token_id
                    total += float(model(input_ids=copy).logits[0, position].float().log_softmax(-1)[token])
            scores.append(total)
    return {"scoring": time.perf_counter() - start, "scores": scores}


def side_masked(items: int, dtype: str) -> dict[str, object]:
    from evenhand.scoring import pll

    model, tokenizer, texts = bert_base(items, dtype)
    start = time.perf_counter()
    scores = [score.total for score in pll(model, tokenizer, texts, dtype="float32" if dtype == "float32" else "auto")]
    return {"scoring": time.perf_counter() - start, "scores": scores}


def bert_base(items: int, dtype: str):  # type: ignore[no-untyped-def]
    """A model of BERT-base shape with random weights, a word-piece-like tokenizer, and the first sentences of CrowS."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

    torch.set_num_threads(os.cpu_count() or 1)
    torch.manual_seed(0)
    model = BertForMaskedLM(BertConfig()).eval()
    if dtype == "bfloat16":
        model = model.to(torch.bfloat16)
    texts = [text for _, text in crows_requests(items)]
    words = sorted({word for text in texts for word in text.split()})
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    inner = Tokenizer(models.WordLevel({w: k for k, w in enumerate(special + words)}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = dict(zip(("pad", "unk", "cls", "sep", "mask"), special, strict=True))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, **{f"{k}_token": v for k, v in names.items()})
    return model, tokenizer, texts


def peak_memory() -> float:
    """The most memory that this process ever held, in MB."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# ------------------------------------------------------------------------------------------ why it is not faster
def timed(original, spent):  # type: ignore[no-untyped-def]
    """A call that adds its seconds of this process to `spent`."""

    def call(*arguments):  # type: ignore[no-untyped-def]
        start = time.process_time()
        found = original(*arguments)
        spent.append(time.process_time() - start)
        return found

    return call


def shares(items: int, model: str, rounds: int) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from evenhand.fast_products import _Products
    from evenhand.scoring import score_texts
    from evenhand.scoring_packing import Row, plan

    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(model)
    texts = [text for _, text in crows_requests(items)]
    rows = [Row((tokenizer.bos_token_id, *ids), tuple(range(len(ids)))) for ids in tokenizer(texts)["input_ids"]]
    read, given = sum(row.used for row in plan(rows, longest=2048)), sum(len(row.positions) for row in rows)
    print(f"{given:,} tokens, of which shared beginnings save {1 - read / given:.1%}")
    hosts = {name: AutoModelForCausalLM.from_pretrained(model, dtype=getattr(torch, name))
             for name in ("float32", "bfloat16")}  # fmt: skip
    runs = {"float32": ("float32", "float32"), "bf16 by autocast": ("float32", "bf16"),
            "bf16 weights": ("bfloat16", "auto")}  # fmt: skip
    found: dict[str, list[float]] = {}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds + 1):  # the first builds kernels
        for name, (weights, dtype) in runs.items():
            start = time.process_time()
            scores = score_texts(hosts[weights], tokenizer, texts, dtype=dtype, start_token=tokenizer.bos_token_id)
            seconds[name].append(time.process_time() - start)
            found[name] = [score.total for score in scores]
    for name, scores in found.items():
        apart = statistics.mean(abs(a - b) for a, b in zip(scores, found["float32"], strict=True))
        print(f"{name}: {statistics.median(seconds[name][1:]):.2f} s of one core, {apart:.3f} nat from float32")
    spent: list[float] = []
    for name in ("run", "times"):
        setattr(_Products, name, timed(getattr(_Products, name), spent))
    start = time.process_time()
    score_texts(hosts["float32"], tokenizer, texts, dtype="auto", start_token=tokenizer.bos_token_id)
    print(f"as the toolkit chooses: products {sum(spent) / (time.process_time() - start):.0%} of the time")


# ------------------------------------------------------------------------------------------------- side by side
def run(python: str, side: str, **options: object) -> dict[str, float]:
    """One side in a fresh process: seconds of scoring, of the whole process, MB, and its scores."""
    # Threads that wait asleep: a thread that spins while another job has its core counts as work.
    environment = os.environ | {
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    start = time.perf_counter()
    done = subprocess.run(
        [python, __file__, "--side", side, "--options", json.dumps(options)],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    whole = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{side} failed:\n{done.stderr[-2000:]}")
    return {**json.loads(done.stdout.splitlines()[-1]), "whole": whole}


def answer(side: str, options: dict[str, object]) -> None:
    """What a fresh process does: one line of JSON."""
    kind = options.pop("kind", None)
    if kind is not None:
        limit = options.pop("items")
        requests = crows_requests(limit) if kind == "crows" else bbq_requests(str(options.pop("category")), limit)
        options["requests"] = requests
    found = globals()[f"side_{side}"](**options)
    print(json.dumps({**found, "processor": time.process_time(), "memory": peak_memory()}))


def ratio(pairs: list[tuple[float, float]]) -> str:
    """The median of the rounds' ratios, theirs by ours, with a 95 % bootstrap interval."""
    ratios = [theirs / ours for theirs, ours in pairs]
    draw = random.Random(0)
    medians = sorted(statistics.median(draw.choices(ratios, k=len(ratios))) for _ in range(2000))
    return f"{statistics.median(ratios):.2f} [{medians[49]:.2f}, {medians[1949]:.2f}]"


def report(name: str, rounds: list[tuple[dict, dict]]) -> None:  # type: ignore[type-arg]
    # "processor": seconds of all cores in the whole process, which other jobs on the machine hardly change
    for what in ("scoring", "whole", "processor"):
        theirs, ours = (statistics.median(r[k][what] for r in rounds) for k in (0, 1))
        times = ratio([(a[what], b[what]) for a, b in rounds])
        print(f"{name}, {what}: {theirs:.1f} s and {ours:.1f} s, {times} times")
    theirs, ours = (max(r[k]["memory"] for r in rounds) for k in (0, 1))
    print(f"{name}, most memory: {theirs:,.0f} MB and {ours:,.0f} MB, {ours / theirs:.2f} times theirs")
    apart = [abs(x - y) for x, y in zip(rounds[0][0]["scores"], rounds[0][1]["scores"], strict=True)]
    print(f"{name}, scores apart: {statistics.mean(apart):.3g} nat on average, at most {max(apart):.3g}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", 1)[0])
    parser.add_argument("what", nargs="?", choices=("crows", "bbq", "masked", "shares"))
    parser.add_argument("--lm-eval", metavar="PYTHON", default=sys.executable)
    parser.add_argument("--model", help="a folder; by default SmolLM2-135M-Instruct from the shelf")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--items", type=int, help="only the first ones")
    parser.add_argument("--category", default="Age")
    parser.add_argument("--dtype", default="bfloat16", choices=("bfloat16", "float32"))
    parser.add_argument("--batch", type=int, help="batch size of lm-eval; by default the fastest is looked for")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--options", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        answer(given.side, json.loads(given.options))
        return
    if given.what == "masked":
        items = given.items or 12
        for theirs, ours in (("float32", "float32"), ("bfloat16", "bfloat16"), ("float32", "bfloat16")):
            rounds = [
                (run(sys.executable, "one_mask_a_call", items=items, dtype=theirs),
                 run(sys.executable, "masked", items=items, dtype=ours))
                for _ in range(given.rounds)
            ]  # fmt: skip
            report(f"masked, {theirs} against {ours}", rounds)
        return
    model = given.model or shelf_model()
    if given.what == "shares":
        shares(given.items or 60, model, given.rounds)
        return
    asked = {"kind": given.what, "items": given.items, "model": model}
    if given.what == "bbq":
        asked["category"] = given.category
    batch = given.batch
    if batch is None:
        part = {**asked, "items": min(given.items or 150, 150), "dtype": given.dtype}
        found = {b: run(given.lm_eval, "lm_eval", **part, batch=b)["scoring"] for b in BATCHES}
        batch = min(found, key=found.__getitem__)
        print("lm-eval, seconds by batch size:", {b: round(s, 1) for b, s in found.items()}, flush=True)
    both: list[tuple[dict, dict]] = []  # type: ignore[type-arg]
    own: list[tuple[dict, dict]] = []  # type: ignore[type-arg]
    for _ in range(given.rounds):
        theirs = run(given.lm_eval, "lm_eval", **asked, dtype=given.dtype, batch=batch)
        both.append((theirs, run(sys.executable, "evenhand", **asked, dtype=given.dtype, batch=4096)))
        if given.dtype != "float32":
            own.append((theirs, run(sys.executable, "evenhand", **asked, dtype="auto", batch=4096)))
    report(f"{given.what}, both {given.dtype}", both)
    if own:
        report(f"{given.what}, as the toolkit chooses", own)


def shelf_model() -> str:
    """The folder of SmolLM2-135M-Instruct, converted once."""
    from evenhand.models import resolve

    return str(resolve("smollm2-135m-instruct").folder)


if __name__ == "__main__":
    main()
