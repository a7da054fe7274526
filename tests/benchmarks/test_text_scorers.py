"""Scorers of text: what they say by hand, what they say of a mere name of a group, and what a user's own one says."""

from __future__ import annotations

import csv
import json
import math

import numpy as np
import pytest
from generation_parts import DATA, needs, word_scorer

from evenhand.errors import DataNotFound, ModelNotFound, UsageError
from evenhand_sdk import load_axis
from evenhand_standard.text_scorers import hashed_ngrams, identity_floor, masked_scorer, scorer, toxicity_classifier
from evenhand_standard.text_scorers.group_masking import without_groups
from evenhand_standard.text_scorers.hurtlex import HURTLEX_EN, lemmas, of_lemmas, plain
from evenhand_standard.text_scorers.identity_terms import TERMS
from evenhand_standard.text_scorers.opinion_lexicon import NEGATIVE, of_words
from evenhand_standard.text_scorers.toxicity_classifier import TWEETS


def test_an_unknown_scorer_is_refused_with_the_list():
    with pytest.raises(UsageError) as caught:
        scorer("vadr")
    assert str(caught.value) == (
        "text scorers: there is no scorer 'vadr'\n  scorers: vader, opinion-lexicon, hurtlex, toxicity, "
        "transformers:PATH#LABEL"
    )


def test_a_lexicon_that_is_not_here_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("EVENHAND_DATA", raising=False)
    monkeypatch.setenv("EVENHAND_CACHE", str(tmp_path / "cache"))
    for name, path in (("hurtlex", "hurtlex_EN.tsv"), ("opinion-lexicon", "positive"), ("toxicity", "labeled_data")):
        with pytest.raises(DataNotFound, match=path):
            scorer(name, str(tmp_path))


# ----------------------------------------------------------------------------------------------------- sentiment
def test_vader_has_the_sign_of_the_text_and_nothing_to_say_of_none():
    tool = scorer("vader")
    good, bad, none, empty = tool.score(["What a wonderful day!", "This is terrible.", "The door is open.", "  "])
    assert good > 0.5 and bad < -0.4 and none == empty == 0.0
    assert tool.describe()["range"] == [-1.0, 1.0]


def test_the_opinion_lexicon_counts_words():
    tool = of_words(frozenset({"good", "well-read"}), frozenset({"bad"}), {})
    texts = ["Good, GOOD and bad", "a well-read man", "badly", "bad", ""]
    assert tool.score(texts) == pytest.approx([1 / 3, 1.0, 0.0, -1.0, 0.0])


@pytest.mark.realdata
@needs(NEGATIVE.path)
def test_the_published_opinion_lexicon():
    tool = scorer("opinion-lexicon", str(DATA))
    assert tool.describe()["words"] == {"positive": 2006, "negative": 4783}
    assert tool.score(["an excellent idea", "an awful idea", "an idea"]) == [1.0, -1.0, 0.0]


# ------------------------------------------------------------------------------------------------------- HurtLex
def test_lemmas_are_found_as_whole_words_and_as_phrases():
    tool = of_lemmas({"brute": ("re",), "old goat": ("an",), "cafe": ("or",)}, {})
    texts = ["What a Brute!", "brutes", "that old goat", "old, goat", "the goat is old", "café", ""]
    assert tool.score(texts) == [1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0]
    assert plain(" Élan ") == "elan"


@pytest.mark.realdata
@needs(HURTLEX_EN.path)
def test_the_published_lexicon_has_the_counted_lemmas():
    """3,360 rows of the level; the category of a lemma is that of its first row."""
    found = lemmas(str(DATA))
    with (DATA / HURTLEX_EN.path).open(encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream, delimiter="\t"))[1:]
    kept = [row for row in rows if row[5] == "conservative"]
    assert (len(rows), len(kept), len(found)) == (8228, 3360, 2223)
    assert set(found) == {plain(row[4]) for row in kept}
    first = {}
    for row in kept:
        first.setdefault(plain(row[4]), row[2])
    assert {lemma: categories[0] for lemma, categories in found.items()} == first


# ------------------------------------------------------------------------------------- logistic regression on n-grams
def test_features_of_a_text_by_hand():
    assert hashed_ngrams.ngrams("ab cd") == ["wab", "wcd", "bab cd", "c<ab", "cab>", "c<ab>", "c<cd", "ccd>", "c<cd>"]
    x = hashed_ngrams.features(["ab ab", ""])
    assert x.shape == (2, 2**18)
    # wab, c<ab, cab>, c<ab> twice, "bab ab" once
    twice, once = 1 + math.log(2), 1.0
    length = math.sqrt(4 * twice**2 + once**2)
    assert sorted(x[0].data) == pytest.approx([once / length] + [twice / length] * 4)
    assert x[1].nnz == 0


def test_training_finds_the_least_loss_and_weighs_the_classes_alike():
    """At the least loss the gradient, computed here anew, is zero; a text without features gets the bias alone."""
    texts = ["bad dog", "bad cat", "bad bird", "good dog", "good cat", "nice bird", "nice fish", "good fish"]
    labels = [1, 1, 1, 0, 0, 0, 0, 0]
    x = hashed_ngrams.features(texts)
    model = hashed_ngrams.train(x, labels, 1e-3)
    p = model.probabilities(x)
    weight = np.where(np.array(labels) > 0, 0.5 / 3, 0.5 / 5)
    residual = weight * (p - labels)
    assert abs(residual.sum()) < 1e-3
    assert np.abs(x.T @ residual + 1e-3 * model.weight).max() < 1e-3
    assert (p[:3] > 0.5).all() and (p[3:] < 0.5).all()
    alone = float(model.probabilities(hashed_ngrams.features([""]))[0])
    assert alone == pytest.approx(1 / (1 + math.exp(-model.bias)))
    with pytest.raises(ValueError, match="both classes"):
        hashed_ngrams.train(x, [1] * 8, 1e-3)


def test_area_under_the_curve_is_the_share_of_ordered_pairs():
    scores, labels = [0.9, 0.4, 0.4, 0.1, 0.8], [1, 1, 0, 0, 0]
    pairs = [(a > b) + 0.5 * (a == b) for a, x in zip(scores, labels, strict=True) if x
             for b, y in zip(scores, labels, strict=True) if not y]  # fmt: skip
    assert hashed_ngrams.area(scores, labels) == pytest.approx(sum(pairs) / len(pairs))


# ------------------------------------------------------------------------------------------------ toxicity classifier
def test_tweets_lose_what_only_tweets_have():
    text = "RT @some_one: You&#8217;re GREAT!! https://t.co/x #winning &amp;amp; more_of"
    assert toxicity_classifier.normalised(text) == "you're great winning more of"


def invented(count=400):
    """Labelled texts of our own: what is toxic here says `splurk`."""
    words = ["table", "river", "window", "garden", "paper", "music", "lamp", "stone"]
    rows = []
    for k in range(count):
        text = f"{words[k % 8]} {words[(k // 8) % 8]} {words[(k * 5 + 3) % 8]} number {k}"
        rows.append((f"{text} splurk" if k % 3 == 0 else f"{text} women" if k % 3 == 1 else text, int(k % 3 == 0)))
    return rows


def test_a_trained_classifier_reports_errors_on_texts_it_did_not_see():
    rows = invented()
    model, facts = toxicity_classifier.trained(rows, ["A quiet sentence.", "Another one."])
    held = [row for row in rows if toxicity_classifier.fold(row[0]) == 0]
    assert 40 < len(held) < 120
    assert facts["trained on"] == {"tweets": len(rows) - len(held), "everyday sentences": 2}
    p = model.probabilities(hashed_ngrams.features([text for text, _ in held]))
    said = p >= 0.5
    right = [s for s, (_, y) in zip(said, held, strict=True) if y]
    wrong = [s for s, (_, y) in zip(said, held, strict=True) if not y]
    assert facts["held out"]["recall"] == pytest.approx(np.mean(right), abs=1e-4)
    assert facts["held out"]["false positive rate"] == pytest.approx(np.mean(wrong), abs=1e-4)
    assert facts["held out"]["texts"] == len(held)
    groups = facts["harmless tweets by group mentioned"]
    assert groups["women"]["texts"] == groups["any group"]["texts"] == sum("women" in text for text, _ in rows)
    assert groups["all"]["texts"] == sum(not y for _, y in rows)
    assert set(facts["harmless sentences"]["mean score"]) == {g for groups in TERMS.values() for g in groups}


def test_training_again_gives_the_same_weights():
    one, other = (toxicity_classifier.trained(invented(150), ["A quiet sentence."])[0] for _ in range(2))
    assert np.array_equal(one.weight, other.weight) and one.bias == other.bias


@pytest.mark.realdata
@needs(TWEETS.path)
def test_the_published_tweets_give_a_classifier_with_known_errors(own_cache):
    """The error is asserted within bounds that a worse classifier would leave; the second call trains nothing."""
    tool = scorer("toxicity", str(DATA))
    facts = tool.describe()
    held = facts["held out"]
    assert len(toxicity_classifier.tweets(str(DATA))) == facts["trained on"]["tweets"] + held["texts"]
    assert held["area under curve"] > 0.97
    assert held["precision"] > 0.98 and held["recall"] > 0.9 and held["false positive rate"] < 0.06
    harmless = facts["harmless sentences"]
    assert max(harmless["false positive rate"].values()) == 0.0
    assert 0.05 < harmless["largest gap within an axis"] < 0.25  # it does react to names of groups: the floor is not 0
    assert facts["harmless tweets by group mentioned"]["any group"]["false positive rate"] < 0.08
    (folder,) = (own_cache / "scorers").iterdir()
    before = (folder / "model.safetensors").stat().st_mtime_ns
    again = scorer("toxicity", str(DATA))
    assert (folder / "model.safetensors").stat().st_mtime_ns == before
    assert again.score(["a quiet day"]) == tool.score(["a quiet day"])
    json.dumps(facts)


# ------------------------------------------------------------------------------------------- groups and their masking
def test_group_words_are_masked_by_axis_pack_and_by_our_list():
    axis = load_axis("gender")
    text = "The actress said that Muslims and old people like her brother."
    assert without_groups(text, [axis]) == "The person said that person and person like person person."
    assert without_groups("Womenfolk", []) == "Womenfolk"  # only whole terms of the list
    for groups in TERMS.values():
        assert [without_groups(f"the {group}.", []) for group in groups] == ["the person."] * len(groups)


def test_a_scorer_that_reacts_to_a_name_alone_has_a_floor_and_none_when_masked():
    biased = word_scorer("Muslims")
    found = identity_floor.floor(biased)
    assert found.means["Muslims"] == found.flagged["Muslims"] == 1.0
    assert sum(found.means.values()) == found.gap == 1.0
    # One of seven religions at 1, the others at 0; the other six axes have no spread.
    assert found.spread == pytest.approx(math.sqrt(1 / 7) / 7)
    masked = identity_floor.floor(masked_scorer(biased, [load_axis("gender")]))
    assert (masked.gap, masked.spread) == (0.0, 0.0)


@pytest.mark.parametrize("name", ["vader", "opinion-lexicon", "hurtlex", "toxicity"])
@pytest.mark.realdata
@needs(HURTLEX_EN.path)
def test_no_scorer_sees_a_difference_once_groups_are_masked(name):
    """Every sentence has one form for all groups then."""
    tool = scorer(name, str(DATA))
    masked = identity_floor.floor(masked_scorer(tool, [load_axis("gender")]))
    assert masked.gap == pytest.approx(0.0, abs=1e-12)
    assert identity_floor.floor(tool).gap > 0.1


@pytest.mark.realdata
@needs("regard_nlg_bias/regard/test.tsv")
def test_sentiment_orders_regard_labels_as_well_as_a_classifier_trained_on_them():
    """90 texts labelled for regard, 424 to train on: why no trained regard scorer is offered."""
    folder = DATA / "regard_nlg_bias" / "regard"

    def rows(*names):
        lines = [line for n in names for line in (folder / n).read_text(encoding="utf-8").splitlines() if line.strip()]
        found = [line.split("\t", 1) for line in lines]
        return [(int(label), text) for label, text in found if label != "2"]

    train, test = rows("train.tsv", "train_other.tsv"), rows("dev.tsv", "test.tsv")
    assert (len(train), len(test)) == (424, 90)
    negative = [label == -1 for label, _ in test]
    x = hashed_ngrams.features([toxicity_classifier.normalised(text) for _, text in train])
    model = hashed_ngrams.train(x, [int(label == -1) for label, _ in train], 1e-4)
    own = model.probabilities(hashed_ngrams.features([toxicity_classifier.normalised(text) for _, text in test]))
    vader = [-s for s in scorer("vader").score([text for _, text in test])]
    assert hashed_ngrams.area(own, negative) < hashed_ngrams.area(vader, negative)
    assert hashed_ngrams.area(vader, negative) > 0.85


# ---------------------------------------------------------------------------------------------- a user's classifier
@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """A folder with a tiny random classifier of three labels, and the model itself."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    from evenhand_sdk.tiny import tiny_tokenizer

    folder = tmp_path_factory.mktemp("classifier")
    tokenizer = tiny_tokenizer("bert")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=24, id2label={0: "fine", 1: "toxic", 2: "other"},
        label2id={"fine": 0, "toxic": 1, "other": 2},
    )  # fmt: skip
    model = BertForSequenceClassification(config).eval()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder, model, tokenizer


def test_a_users_classifier_gives_the_probability_of_its_label(classifier):
    import torch

    folder, model, tokenizer = classifier
    tool = scorer(f"transformers:{folder}#toxic")
    texts = ["The nurse was tired.", "He said it.", "A longer text that goes on. " * 20, ""]
    for text, found in zip(texts, tool.score(texts), strict=True):
        ids = tokenizer(text, return_tensors="pt", truncation=True, max_length=24)
        with torch.no_grad():
            assert found == pytest.approx(float(model(**ids).logits.softmax(-1)[0, 1]), abs=1e-5)
    assert tool.describe()["method"] == "probability of 'toxic' by softmax"
    assert tool.name == f"transformers:{folder.name}#toxic"


def test_texts_that_a_classifier_cuts_are_named_and_nothing_is_said_aside(classifier, monkeypatch):
    """24 positions, two of them for the tokens around a text."""
    said = []
    monkeypatch.setattr("transformers.tokenization_utils_base.logger.warning", lambda *told: said.append(told))
    folder, _, tokenizer = classifier
    tokens = tokenizer.tokenize("He said it and he said it and he said it and he said it. " * 3)
    fits, cut = (tokenizer.convert_tokens_to_string(tokens[:n]) for n in (22, 23))
    assert [len(tokenizer(text)["input_ids"]) for text in (fits, cut)] == [24, 25]
    tool = scorer(f"transformers:{folder}#toxic")
    assert tool.cut([fits, cut, ""]) == [False, True, False] and tool.cut([]) == []
    assert tool.describe()["limits"] == "reads the first 24 tokens of a text"
    assert masked_scorer(tool, [load_axis("gender")]).cut([fits, cut]) == [False, True]
    assert scorer("vader").cut([fits, cut]) == [False, False]
    tool.cut(["word " * 2000])
    assert not said


def test_a_classifier_that_counts_positions_from_behind_its_padding_has_fewer(tmp_path):
    from transformers import RobertaConfig, RobertaForSequenceClassification

    from evenhand_sdk.tiny import tiny_tokenizer

    tokenizer = tiny_tokenizer("roberta")
    config = RobertaConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=24, pad_token_id=tokenizer.pad_token_id, num_labels=1,
    )  # fmt: skip
    RobertaForSequenceClassification(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    tool = scorer(f"transformers:{tmp_path}")
    assert len(tool.score(["word " * 100])) == 1
    assert tool.describe()["limits"] == f"reads the first {24 - tokenizer.pad_token_id - 1} tokens of a text"


def test_another_tokenizer_is_another_scorer(classifier, tmp_path):
    import copy
    import shutil

    folder, _, tokenizer = classifier
    other = shutil.copytree(folder, tmp_path / folder.name)
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.add_tokens(["an added word"])
    tokenizer.save_pretrained(other)
    # The same entries, and yet other ids of a text.
    folded = shutil.copytree(folder, tmp_path / "folded")
    tokens = json.loads((folded / "tokenizer.json").read_text(encoding="utf-8"))
    tokens["normalizer"] = None if tokens["normalizer"] else {"type": "Lowercase"}
    (folded / "tokenizer.json").write_text(json.dumps(tokens), encoding="utf-8")
    assert scorer(f"transformers:{folded}#toxic").digest != scorer(f"transformers:{folder}#toxic").digest
    assert scorer(f"transformers:{other}#toxic").digest != scorer(f"transformers:{folder}#toxic").digest
    again = shutil.copytree(folder, tmp_path / "again")
    assert scorer(f"transformers:{again}#toxic").digest == scorer(f"transformers:{folder}#toxic").digest


def test_a_model_of_several_labels_at_once_is_read_by_sigmoid(classifier, tmp_path):
    import torch

    _, model, tokenizer = classifier
    model.config.problem_type = "multi_label_classification"
    try:
        model.save_pretrained(tmp_path)
    finally:
        model.config.problem_type = None
    tokenizer.save_pretrained(tmp_path)
    with torch.no_grad():
        right = float(model(**tokenizer("He said it.", return_tensors="pt")).logits.sigmoid()[0, 2])
    assert scorer(f"transformers:{tmp_path}#other").score(["He said it."]) == pytest.approx([right], abs=1e-5)


def test_a_label_must_be_named_and_known(classifier):
    folder = classifier[0]
    with pytest.raises(UsageError) as caught:
        scorer(f"transformers:{folder}")
    assert str(caught.value) == (
        f"scorer transformers: say which label of '{folder}' is the score\n  its labels: fine, toxic, other\n"
        f"  write transformers:{folder}#LABEL"
    )
    with pytest.raises(UsageError, match="has no label 'rude'"):
        scorer(f"transformers:{folder}#rude")


def test_only_safetensors_are_read(classifier, tmp_path):
    import torch

    _, model, tokenizer = classifier
    tokenizer.save_pretrained(tmp_path)
    model.config.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(UsageError, match="its weights are only in pytorch_model.bin, a pickle"):
        scorer(f"transformers:{tmp_path}#toxic")
    with pytest.raises(ModelNotFound, match="nothing': not found"):
        scorer(f"transformers:{tmp_path / 'nothing'}#toxic")
