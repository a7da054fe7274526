"""How many sentences of WikiSplit two versions of the engine swap differently.

python -m tests.gold.changes BEFORE AFTER [--axis gender] [--file tune]

BEFORE and AFTER are revisions of this repository. Each is unpacked into a folder of its own and asked in a process of
its own. Sentences are only counted, since some of them stand in the half of the gold set that nobody reads.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ASK = """
import json, sys
import evenhand_sdk
from evenhand_sdk import counterfactuals, load_axis
assert evenhand_sdk.__file__.startswith(sys.argv[2]), f"another version is imported: {evenhand_sdk.__file__}"
axis = load_axis(sys.argv[1])
json.dump([[other.text for other in counterfactuals(text, axis)] for text in json.load(sys.stdin)], sys.stdout)
"""


def swaps(revision: str, axis: str, texts: list[str]) -> list[list[str]]:
    """The counterfactuals of each text by the engine of a revision."""
    with tempfile.TemporaryDirectory() as folder:
        packed = subprocess.run(
            ["git", "archive", "--format=tar", revision, "core", "sdk"], cwd=ROOT, check=True, capture_output=True
        ).stdout
        subprocess.run(["tar", "-x", "-C", folder], input=packed, check=True)
        path = os.pathsep.join([f"{folder}/core", f"{folder}/sdk", os.environ.get("PYTHONPATH", "")])
        command = [sys.executable, "-c", ASK, axis, folder]
        own = {**os.environ, "PYTHONPATH": path}
        asked = subprocess.run(command, input=json.dumps(texts), text=True, check=True, capture_output=True, env=own)
    return json.loads(asked.stdout)  # type: ignore[no-any-return]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before")
    parser.add_argument("after")
    parser.add_argument("--axis", default="gender")
    parser.add_argument("--file", default="tune", help="of wiki_split in the data folder: tune or validation")
    asked = parser.parse_args()
    file = Path(os.environ["EVENHAND_DATA"]) / "wiki_split" / f"{asked.file}.tsv"
    texts = [line.split("\t")[0] for line in file.read_text(encoding="utf-8").splitlines()]
    before, after = (swaps(revision, asked.axis, texts) for revision in (asked.before, asked.after))
    differ = sum(one != other for one, other in zip(before, after, strict=True))
    print(f"{differ:,} of {len(texts):,} sentences are swapped differently by {asked.axis}")


if __name__ == "__main__":
    main()
