"""BBQ: which words of its contexts and answers name a group, and how many of them the packs know."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from coverage_data import bbq_categories, bbq_examples, bbq_family_names, bbq_names, bbq_vocabulary
from coverage_share import CLOSED, WORD, Share, base, count
from pack_knowledge import Packs

WITHOUT_VOCABULARY = ("Age", "Disability_status", "Physical_appearance")


def _expressions(category: str, examples: list[dict[str, Any]]) -> set[str]:
    """The names of groups that the category is about."""
    vocabulary = bbq_vocabulary()
    if category in WITHOUT_VOCABULARY:
        return recurring(examples)
    parts = {"Race_x_SES": ("Race_ethnicity", "SES"), "Race_x_gender": ("Race_ethnicity", "Gender_identity")}
    found = {name for part in parts.get(category, (category,)) for name in vocabulary[part]}
    found |= {g for e in examples for g in e["additional_metadata"]["stereotyped_groups"] if len(g) > 1}
    if "Race" in category or category in ("Gender_identity", "SES"):
        found |= set(bbq_names())
    if "Race" in category:
        found |= set(bbq_family_names())
    return found


def recurring(examples: list[dict[str, Any]]) -> set[str]:
    """Words of `answer_info` under one label only, in two or more question templates; closed classes left out."""
    templates: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for example in examples:
        for expression, label in example["answer_info"].values():
            if label != "unknown":
                for word in WORD.findall(expression):
                    templates[base(word)][label].add(example["question_index"])
    return {
        word
        for word, labels in templates.items()
        if word not in CLOSED and len(labels) == 1 and len(next(iter(labels.values()))) > 1
    }


def bbq(packs: Packs) -> tuple[dict[str, Share], dict[str, Share]]:
    """Per category: the names of groups in each different context and answer; and family names, apart."""
    shares: dict[str, Share] = {}
    family: dict[str, Share] = {}
    for category in bbq_categories():
        examples = bbq_examples(category)
        expressions = _expressions(category, examples)
        texts = sorted({str(e[key]) for e in examples for key in ("context", "ans0", "ans1", "ans2")})
        last = expressions & set(bbq_family_names()) - set(bbq_names())
        share, apart = shares.setdefault(category, Share()), family.setdefault(category, Share())
        pattern = _finder(expressions)
        for text in texts:
            count(packs, text, [(apart if m[1] in last else share, m.span()) for m in pattern.finditer(text)])
    return shares, {category: share for category, share in family.items() if share.total}


def _finder(names: Iterable[str]) -> re.Pattern[str]:
    """The names as whole words, the longest first; one that is written with a capital needs it, and a plural counts."""
    alternatives = sorted(names, key=lambda name: (-len(name), name))
    written = [re.escape(n) if n[0].isupper() else f"(?i:{re.escape(n)})" for n in alternatives]
    return re.compile(rf"(?<![\w-])({'|'.join(written)})s?(?![\w-])")
