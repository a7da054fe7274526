"""Masked rewriting: what is hidden, what is filled in, and when it is given; against slow references in float64."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from evenhand.errors import ModelNotFound
from evenhand_sdk import Ask, Request, Response, UsageError, load_axis
from evenhand_sdk.tiny import save_tiny
from evenhand_standard.decoding.causal_infiller import CausalInfiller
from evenhand_standard.decoding.infillers import MaskedInfiller, Reading, Voice, Voices, Weights
from evenhand_standard.decoding.infilling_models import infiller_of
from evenhand_standard.decoding.masked_rewriting import MaskedRewriting, MaskedRewritingOptions, Rewriter
from evenhand_standard.decoding.state_similarity import REFERENCE, Similarity

TEXT = "The nurse was very kind, and the old town slept."
FAIR, PREJUDICED = "Fair to all:", ("Against women:", "Against men:")
GENDER = load_axis("gender")


def voices(model: Any) -> Voices:
    return Voices(Voice(model), [Voice(model, FAIR)], [Voice(model, words) for words in PREJUDICED])


def softmax(logits: Sequence[float]) -> list[float]:
    top = max(logits)
    raw = [math.exp(x - top) for x in logits]
    return [r / sum(raw) for r in raw]


def mean_of(parts: Sequence[Sequence[float]]) -> list[float]:
    """The geometric mean of distributions, normalised."""
    return softmax([sum(math.log(p[k]) for p in parts) / len(parts) for k in range(len(parts[0]))])


def js(p: Sequence[float], q: Sequence[float]) -> float:
    middle = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
    return 0.5 * sum(
        a * math.log(a / m) + b * math.log(b / m) for a, b, m in zip(p, q, middle, strict=True)
    )  # fmt: skip


def expected(
    model: Any, tokenizer: Any, masked: bool, told: str, ids: list[int], word: list[int], k: int
) -> list[float]:
    """The distribution of token k of a word, one text at a time, without padding."""
    lead = (
        tokenizer(f"{told}\n" if told and not masked else told, add_special_tokens=False)["input_ids"] if told else []
    )
    if masked:
        hidden = [tokenizer.mask_token_id if j in word else t for j, t in enumerate(ids)]
        row = [tokenizer.cls_token_id, *lead, *hidden, tokenizer.sep_token_id]
        place = 1 + len(lead) + k
    else:
        begin = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
        row = [begin, *lead, *ids[:k]]
        place = len(row) - 1
    with torch.no_grad():
        return softmax(model(input_ids=torch.tensor([row])).logits[0, place].double().tolist())


def words_of(tokenizer: Any, text: str) -> tuple[list[int], dict[str, list[int]]]:
    """Ids, and for some words the places of their pieces, found by the text before them."""
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    places = {}
    for word in ("nurse", "kind", "slept"):
        start = text.index(word)
        places[word] = [k for k, (a, b) in enumerate(offsets) if a < start + len(word) and b > start]
    return ids, places


@pytest.mark.parametrize("kind", ["masked", "causal"])
def test_what_is_read_at_each_word_equals_one_text_at_a_time(kind: str, tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny(kind)
    masked = kind == "masked"
    infiller: Any = MaskedInfiller(tokenizer, voices(model))
    if not masked:
        infiller = CausalInfiller(tokenizer, voices(model), run_of(model, tokenizer).services)
    reading = infiller.read(TEXT)
    shown = [TEXT[a:b] for a, b in reading.words]
    assert shown == ["The", "nurse", "was", "very", "kind", "and", "the", "old", "town", "slept"]
    ids, places = words_of(tokenizer, TEXT)
    for word, at in places.items():
        own, lean, divergence = 0.0, 0.0, []
        for k in at:
            base = expected(model, tokenizer, masked, "", ids, at, k)
            fair = expected(model, tokenizer, masked, FAIR, ids, at, k)
            bad = mean_of([expected(model, tokenizer, masked, t, ids, at, k) for t in PREJUDICED])
            own += math.log(base[ids[k]])
            lean += math.log(bad[ids[k]]) - math.log(fair[ids[k]])
            divergence.append(js(fair, bad))
        n = shown.index(word)
        assert reading.base[n] == pytest.approx(own, abs=1e-4)
        assert reading.lean[n] == pytest.approx(lean, abs=1e-4)
        assert reading.divergence[n] == pytest.approx(sum(divergence) / len(divergence), abs=1e-5)
    assert reading.bias == pytest.approx(sum(reading.lean) / 10)


def test_a_masked_model_is_asked_for_a_word_with_later_words_hidden_too(tiny: Any) -> None:
    model, tokenizer = tiny("masked")
    infiller = MaskedInfiller(tokenizer, voices(model))
    weights = Weights(towards=2.0, away=1.0, penalty=3.0, plausible=0.001, shortlist=5)
    a, b = TEXT.index("kind"), TEXT.index("town")
    found = infiller.proposed(TEXT, (a, a + 4), [(b, b + 4)], weights)
    shown = TEXT.replace("kind", tokenizer.mask_token).replace("town", tokenizer.mask_token)
    ids = tokenizer(shown, add_special_tokens=False)["input_ids"]
    place = ids.index(tokenizer.mask_token_id)
    base = expected(model, tokenizer, True, "", ids, [place], place)
    fair = expected(model, tokenizer, True, FAIR, ids, [place], place)
    bad = mean_of([expected(model, tokenizer, True, t, ids, [place], place) for t in PREJUDICED])
    names = tokenizer.convert_ids_to_tokens(range(len(base)))
    whole = [
        k for k, n in enumerate(names) if n[0] == "Ġ" and n.isalpha() and n[1:].isascii() and n[1:].islower() and n[2:]
    ]
    floor = 0.001 * max(base[k] for k in whole)
    score = {
        names[k][1:]: math.log(base[k])
        + 2.0 * math.log(fair[k])
        - math.log(bad[k])
        - (math.log(3.0) if k in ids else 0.0)
        for k in whole
        if base[k] >= floor
    }
    assert found == sorted(score, key=lambda name: -score[name])[:5]


def test_adapters_and_whole_models_are_voices_of_their_own(tiny: Any, run_of: Any, tmp_path: Path) -> None:
    """An adapter reads as the model with the adapter in its weights."""
    from test_expert_adapters import merged, saved

    from evenhand_standard.decoding.lora_experts import read_adapter

    model, tokenizer = tiny("causal")
    places = [saved(tmp_path / name, model, seed) for seed, name in enumerate(("fair", "bad", "worse"), 1)]
    services = run_of(model, tokenizer).services
    fair, *bad = [Voice(model, adapter=read_adapter(place, model)) for place in places]
    found = CausalInfiller(tokenizer, Voices(Voice(model), [fair], bad), services)
    one, *others = [Voice(merged(model, place)) for place in places]
    expected = CausalInfiller(tokenizer, Voices(Voice(model), [one], others), services)
    ours, theirs = found.read(TEXT), expected.read(TEXT)
    assert ours.lean == pytest.approx(theirs.lean, abs=1e-3)
    assert ours.divergence == pytest.approx(theirs.divergence, abs=1e-4) and max(ours.divergence) > 0.01
    a = TEXT.index("kind")
    weights = Weights(towards=2.0, away=1.0, penalty=1.0, plausible=0.01, shortlist=4)
    assert found.proposed(TEXT, (a, a + 4), [], weights) == expected.proposed(TEXT, (a, a + 4), [], weights)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["[MASK]", "kind", "##ly", "Kind", "k", "kind-", "naïve"], ["kind"]),
        (["<mask>", "Ġkind", "ly", "ĠKind", "Ġk", "Ġkind-", "Ċ"], ["kind"]),
        (["<mask>", "▁kind", "ly", "▁Kind", "▁", None], ["kind"]),
    ],
)
def test_words_of_one_piece_in_each_kind_of_vocabulary(names: list[Any], words: list[str], tiny: Any) -> None:
    model, _ = tiny("masked")

    class Names:
        def __len__(self) -> int:
            return len(names)

        def convert_ids_to_tokens(self, ids: Any) -> Any:
            return [names[k] for k in ids] if isinstance(ids, list) else names[ids]

    infiller = MaskedInfiller(Names(), voices(model))
    fits = infiller.whole_words
    assert [infiller.word(k) for k in range(len(fits)) if fits[k] == 0.0] == words


def test_a_causal_model_tries_the_words_on_what_follows(tiny: Any, run_of: Any) -> None:
    model, tokenizer = tiny("causal")
    infiller = CausalInfiller(tokenizer, voices(model), run_of(model, tokenizer).services)
    weights = Weights(towards=2.0, away=1.0, penalty=1.0, plausible=0.01, shortlist=4)
    a, b = TEXT.index("kind"), TEXT.index("town")
    found = infiller.proposed(TEXT, (a, a + 4), [(b, b + 4)], weights)
    assert len(found) == 4
    before, after = TEXT[:a].rstrip(), TEXT[a + 4 : b].rstrip()
    left = len(tokenizer(before, add_special_tokens=False)["input_ids"])

    def total(word: str) -> float:
        """log p of the word and of what follows it, up to the next hidden word, by all voices."""
        ids = tokenizer(f"{before} {word}{after}", add_special_tokens=False)["input_ids"]
        whole = 0.0
        for k in range(left, len(ids)):
            base = expected(model, tokenizer, False, "", ids, [], k)[ids[k]]
            fair = expected(model, tokenizer, False, FAIR, ids, [], k)[ids[k]]
            bad = [expected(model, tokenizer, False, t, ids, [], k) for t in PREJUDICED]
            # The place itself is read in the normalised mean of the voices, the rest as a sum of their log p.
            away = math.log(mean_of(bad)[ids[k]]) if k == left else sum(math.log(p[ids[k]]) for p in bad) / 2
            whole += math.log(base) + 2.0 * math.log(fair) - away
        return whole

    assert found == sorted(found, key=lambda word: -total(word))
    assert len({round(total(word), 3) for word in found}) == 4


# ------------------------------------------------------------------------------------------------------- similarity
def test_similarity_by_hand() -> None:
    """Two tokens a text, in the plane; the reference sentences have states that are apart."""
    own = {"a": [[1.0, 0.0], [0.0, 1.0]], "b": [[1.0, 0.0], [-1.0, 0.0]], "none": []}
    reference = {text: [[math.cos(k), math.sin(k)]] for k, text in enumerate(REFERENCE)}

    def states(text: str) -> torch.Tensor:
        return torch.tensor({**own, **reference}[text]).reshape(-1, 2)

    found = Similarity(states)
    cx = sum(math.cos(k) for k in range(8)) / 8
    cy = sum(math.sin(k) for k in range(8)) / 8
    assert found.centre.tolist() == pytest.approx([cx, cy])

    def cosine(u: Sequence[float], v: Sequence[float]) -> float:
        (a, b), (c, d) = ((x - cx, y - cy) for x, y in (u, v))
        return (a * c + b * d) / math.hypot(a, b) / math.hypot(c, d)

    recall = sum(max(cosine(u, v) for v in own["b"]) for u in own["a"]) / 2
    precision = sum(max(cosine(u, v) for u in own["a"]) for v in own["b"]) / 2
    f = 2 * precision * recall / (precision + recall)
    assert found.overlap("a", "b") == pytest.approx(f, abs=1e-6)
    pairs = [cosine(reference[a][0], reference[b][0]) for i, a in enumerate(REFERENCE) for b in REFERENCE[i + 1 :]]
    baseline = sum(max(p, 0.0) for p in pairs) / len(pairs)
    assert found("a", "b") == pytest.approx((f - baseline) / (1 - baseline), abs=1e-6)
    assert found("a", "a") == 1.0 and found.overlap("a", "none") == 0.0


# ------------------------------------------------------------------------------------------------------- acceptance
class Known:
    """An infiller whose findings are written down: words that only prejudiced text has, and what to put there."""

    def __init__(self, instead: dict[str, list[str]], *, lean: dict[str, float], base: dict[str, float] = {}) -> None:  # noqa: B006
        self.instead, self.lean, self.base = instead, lean, base
        self.asked: list[tuple[str, list[str]]] = []

    def room(self, text: str) -> bool:
        return len(text) < 200

    def read(self, text: str) -> Reading:
        import re

        words = [m.span() for m in re.finditer(r"[A-Za-z]+", text)]
        said = [text[a:b].lower() for a, b in words]
        return Reading(
            words,
            [self.base.get(w, -5.0) for w in said],
            [self.lean.get(w, 0.0) for w in said],
            [1.0 if w in self.instead else 0.1 for w in said],
        )

    def proposed(self, text: str, span: Any, hidden: Any, weights: Weights) -> list[str]:
        word = text[span[0] : span[1]]
        self.asked.append((word, [text[a:b] for a, b in hidden]))
        return self.instead[word.lower()]

    def states(self, text: str) -> torch.Tensor:
        """A token a word, with a place of its own; `far` stands for what means something else."""
        rows = []
        for word in text.split():
            generator = torch.Generator().manual_seed(
                sum(map(ord, word)) if word.startswith("far") else len(text.split())
            )
            rows.append(torch.randn(16, generator=generator))
        return torch.stack(rows)


def rewriter(known: Known, **options: Any) -> Rewriter:
    o = MaskedRewritingOptions(strength=1.0, **options)
    return Rewriter(known, o, GENDER, lambda line, reading: reading.bias)


BOSSY = {"bossy": ["firm"], "hysterical": ["upset"]}


def test_a_line_is_filled_in_from_left_to_right_and_given() -> None:
    known = Known(BOSSY, lean={"bossy": 1.0, "hysterical": 1.0})
    text, [facts] = rewriter(known).answer("", "The boss was bossy and also hysterical about it.")
    assert text == "The boss was firm and also upset about it."
    assert known.asked == [("bossy", ["hysterical"]), ("hysterical", [])]
    assert facts["accepted"] and facts["hidden"] == ["bossy", "hysterical"] and facts["bias"] == [0.2222, 0.0]
    assert facts["line"] == 0 and facts["perplexity"] == 1.0


def test_an_article_fits_the_word_that_is_filled_in_and_small_words_stay() -> None:
    known = Known({"bossy": ["old"], "a": ["the"], "so": ["very"]}, lean={"bossy": 1.0})
    text, [facts] = rewriter(known).answer("", "She is a bossy boss, and so a bossy friend.")
    assert text == "She is an old boss, and so an old friend." and facts["hidden"] == ["bossy", "bossy"]


@pytest.mark.parametrize(
    ("known", "why"),
    [
        (Known(BOSSY, lean={"bossy": 0.0, "firm": 0.5}), "its bias is not less"),
        (Known(BOSSY, lean={"bossy": 1.0}, base={"firm": -9.0}), "it is no good English"),
        (Known({"bossy": ["farther"]}, lean={"bossy": 1.0}), "it does not mean the same"),
        (Known({"bossy": ["bossy"]}, lean={"bossy": 1.0}), "the same words"),
    ],
)
def test_what_is_not_accepted_is_rewritten_by_rule(known: Known, why: str) -> None:
    said = "Any policeman can be bossy."
    text, [facts] = rewriter(known, similarity=0.99).answer("", said)
    assert text == "Any police officer can be bossy."
    assert facts["accepted"] is False and facts["why"] == why and facts["by rule"] is True


def test_the_limits_are_those_of_the_options() -> None:
    known = Known(BOSSY, lean={"bossy": 1.0}, base={"firm": -9.0})
    said = "Rain and bossy people."  # four words: the perplexity is e^(4/4) times as high
    assert rewriter(known, perplexity=2.7).answer("", said)[0] == said
    assert rewriter(known, perplexity=2.72).answer("", said)[0] == "Rain and firm people."
    assert rewriter(Known(BOSSY, lean={"bossy": 1.0}), threshold=3.1).answer("", said)[0] == said


def test_whoever_is_spoken_of_stays() -> None:
    everything = {w: ["man"] for w in ("she", "nurse", "mary", "kind")}
    known = Known(everything, lean={"kind": 1.0})
    text, [facts] = rewriter(known, threshold=1.01).answer(
        "", "the nurse said that she met Mary and was kind to all of us"
    )
    assert facts["hidden"] == ["nurse", "kind"]  # no pronoun and no name
    assert text == "the nurse said that she met Mary and was kind to all of us"  # and no word for a group comes in
    assert facts["why"] == "the same words"
    known = Known({"kind": ["man", "woman", "firm"]}, lean={"kind": 1.0})
    assert rewriter(known).answer("", "she was so kind to us")[0] == "she was so firm to us"


@pytest.mark.parametrize(
    "said",
    ["`bossy` is a name", "He said: “bossy people.”", "see http://bossy.org", "    bossy = 1", "x " * 120 + "bossy"],
)
def test_code_quotations_addresses_and_what_is_too_long_stay(said: str) -> None:
    known = Known(BOSSY, lean={"bossy": 1.0})
    assert rewriter(known).answer("", said) == (said, [])
    assert known.asked == []


def test_the_prompt_is_read_and_never_changed() -> None:
    known = Known(BOSSY, lean={"bossy": 1.0})
    text, [facts] = rewriter(known).answer("One line.\nThe bossy boss", " was bossy today.\nRain fell.")
    assert text == " was firm today.\nRain fell." and facts["hidden"] == ["bossy"]


# ------------------------------------------------------------------------------------------------------- the plugin
def answered(run: Any, said: str, request: Request, **options: Any) -> Response:
    rule = MaskedRewriting(strength=1.0, **options).decoding(run, run.services.model)
    assert rule is not None and rule.around is not None
    return rule.around(request, Ask(lambda asked: [Response(request=r, text=said) for r in asked]))


@pytest.mark.parametrize("by", ["itself", "a masked model", "trained models"])
def test_it_works_from_end_to_end_and_tells_what_it_did(by: str, tiny: Any, run_of: Any, tmp_path: Path) -> None:
    options: dict[str, Any] = {"threshold": 0.5, "similarity": 0.0, "perplexity": 1e6, "plausible": 1e-6}
    if by != "itself":
        options["infiller"] = str(save_tiny(tmp_path / "mlm", family="bert"))
    if by == "trained models":
        options["expert_models"] = (str(save_tiny(tmp_path / "fair", family="bert", seed=1)),)
        options["anti_expert_models"] = (str(save_tiny(tmp_path / "bad", family="bert", seed=2)),)
    run = run_of(*tiny())
    probe = torch.tensor([[5, 6, 7]])
    before = run.services.model(input_ids=probe).logits
    said = "Any policeman can help you. The old town slept in the rain, and nobody was very kind to us."
    found = answered(run, said, Request(prompt="Who?", meta={"chat": True}), **options)
    assert found.text != said
    [change] = found.request_changes
    assert (change.what, change.before, change.after) == ("rewriting", said, found.text)
    [facts] = change.facts["lines"]
    assert facts["hidden"] and set(facts["hidden"]) <= set(said.replace(".", "").replace(",", "").split())
    if facts["accepted"]:
        assert facts["bias"][1] < facts["bias"][0] and found.text == facts["filled in"]
    else:
        assert facts["why"] and facts["by rule"] and found.text.startswith("Any police officer can help you.")
    assert change.facts["words"]
    assert torch.equal(run.services.model(input_ids=probe).logits, before) and not run.services.model.training


def test_strength_0_is_no_rule_and_bad_options_are_refused(tiny: Any, run_of: Any, tmp_path: Path) -> None:
    run = run_of(*tiny())
    assert MaskedRewriting(strength=0.0).decoding(run, run.services.model) is None
    with pytest.raises(UsageError, match="strength"):
        MaskedRewriting()
    with pytest.raises(UsageError, match="`expert_models` and `anti_expert_models` go together"):
        MaskedRewriting(strength=1.0, expert_models=("x",))
    with pytest.raises(UsageError, match="there are none for 'de'"):
        MaskedRewriting(strength=1.0, locale="de")
    with pytest.raises(ModelNotFound, match="option infiller, model '.*nowhere': not found"):
        MaskedRewriting(strength=1.0, infiller=str(tmp_path / "nowhere")).decoding(run, run.services.model)


def test_an_expert_of_another_vocabulary_is_refused(tiny: Any, run_of: Any, tmp_path: Path) -> None:
    model, tokenizer = tiny()
    place = str(save_tiny(tmp_path / "other", family="gpt2"))
    o = MaskedRewritingOptions(strength=1.0, expert_models=(place,), anti_expert_models=(place,))
    if tokenizer.get_vocab() == infiller_of_vocabulary(place):
        pytest.fail("the tiny models of two families share a vocabulary; take another one")
    with pytest.raises(UsageError, match="has another vocabulary than the infiller"):
        infiller_of(o, run_of(model, tokenizer), model)


def infiller_of_vocabulary(place: str) -> Callable[..., Any]:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(place).get_vocab()  # type: ignore[no-any-return]
