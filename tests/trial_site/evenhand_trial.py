"""Small plugins, one a stage, for the tests of a whole run."""

from __future__ import annotations

from typing import ClassVar, Literal

from evenhand_sdk import (
    Artifact,
    Benchmark,
    DataTransform,
    DecodingRule,
    Fact,
    Finding,
    ItemRecord,
    LossTerm,
    Metric,
    Mitigation,
    ModelTransform,
    Monitor,
    Options,
    Planted,
    Plugin,
    Request,
    Section,
    StrengthOptions,
    hookimpl,
)  # fmt: skip


class Double(Mitigation):
    """Every row twice, the second time in capitals."""

    name = "trial-double"
    summary = "Doubles the data."

    @hookimpl
    def data(self, run, split, model):
        if self.options.strength == 0:
            return DataTransform(fn=lambda rows: rows)

        def fn(rows):
            from datasets import Dataset

            return Dataset.from_dict({"text": [t for x in rows["text"] for t in (x, x.upper())]})

        return DataTransform(fn=fn)


class Look(Plugin):
    """Counts the rows, and writes the number into a file."""

    name = "trial-look"
    summary = "Counts rows."
    looks_on = True

    @hookimpl
    def data(self, run, split, model):
        facts = {}

        def fn(rows):
            facts["letters"] = sum(map(len, rows["text"]))
            (run.folder / "letters.txt").write_text(str(facts["letters"]))
            return rows

        return DataTransform(fn=fn, facts=facts, files=("letters.txt",), looks_on=True)


class Pull(Mitigation):
    """A loss on the size of the logits."""

    name = "trial-pull"
    summary = "Pulls logits towards zero."

    class Options(StrengthOptions):
        nan_at: int = -1

    @hookimpl
    def objective(self, run, model):
        calls = []

        def fn(batch, outputs):
            calls.append(1)
            value = outputs.logits.float().pow(2).mean()
            return value * float("nan") if len(calls) == self.options.nan_at else value

        return LossTerm(name="pull", fn=fn, weight=0.1 * self.options.strength)


class Norms(Mitigation):
    """Trains the norms only."""

    name = "trial-norms"
    summary = "Norms only."
    shapes_training = True

    @hookimpl
    def architecture(self, run, model):
        return ModelTransform(
            trainable=lambda m: [n for n, _ in m.named_parameters() if "norm" in n], fold=lambda m: True
        )


class Unmarked(Norms):
    """As `trial-norms`, but its class does not say so."""

    name = "trial-unmarked"
    shapes_training = False


class Scale(Mitigation):
    """Scales the last norm: as a live hook, or folded."""

    name = "trial-scale"
    summary = "Scales the last norm's output."

    class Options(StrengthOptions):
        folds: bool = True
        why: str | None = None

    @hookimpl
    def architecture(self, run, model):
        import torch

        why = self.options.why
        factor = 1.0 if why else 1 - 0.5 * self.options.strength
        handles = []

        def fit(m):
            return Artifact(
                tensors={"factor": torch.tensor([factor])}, meta={"factor": factor} | ({"idle": why} if why else {})
            )

        def apply(m, artifact):
            handles.append(m.model.norm.register_forward_hook(lambda mod, args, out: out * artifact.tensors["factor"]))

        def revert(m):
            handles.pop().remove()

        def fold(m):
            if not self.options.folds:
                return False
            revert(m)
            with torch.no_grad():
                m.model.norm.weight.mul_(factor)
            return True

        return ModelTransform(fit=fit, apply=apply, revert=revert, fold=fold)


class Flat(Mitigation):
    """Divides the logits: a flatter distribution."""

    name = "trial-flat"
    summary = "A higher temperature."

    @hookimpl
    def decoding(self, run, model):
        by = 1 + self.options.strength
        return DecodingRule(name="flat", next_logits=lambda ids, logits, contexts: logits / by if by != 1 else logits)


class Echo(Mitigation):
    """Divides the logits by what another step has fitted."""

    name = "trial-echo"
    summary = "Uses the artifact of another step."

    class Options(StrengthOptions):
        of: str

    @hookimpl
    def decoding(self, run, model):
        factor = run.step(self.options.of).artifact.tensors["factor"]
        return DecodingRule(name="echo", next_logits=lambda ids, logits, contexts: logits * factor)


class Watch(Plugin):
    """Counts answers; asks for one probe a request."""

    name = "trial-watch"
    summary = "Counts."

    class Options(Options):
        mood: Literal["calm", "faulty"] = "calm"

    @hookimpl
    def monitoring(self, run):
        seen, probed = [], []

        def observe(observation):
            if self.options.mood == "faulty":
                raise ValueError("the watch is broken")
            (probed if observation.probe_of else seen).append(observation)
            return []

        return Monitor(
            name="watch",
            observe=observe,
            probes=lambda o: [Request(prompt=o.response.request.prompt.upper(), max_new_tokens=3)],
            summary=lambda: Finding(title="counted", facts={"seen": len(seen), "probes": len(probed)}),
        )


class Size(Plugin):
    """Says how big the model is."""

    name = "trial-size"
    summary = "The size."

    @hookimpl
    def transparency(self, run, model, result):
        names = [b["id"] for b in result.benchmarks]
        return Section(title="Size <b>", facts=[Fact(label="parameters", value=model.num_parameters()),
                                                Fact(label="benchmarks", value=", ".join(names))])  # fmt: skip


def known(values, expect):
    """A planted model with one item, and what the metrics must be."""
    return Planted(name="known", records=lambda: [ItemRecord(id="0", cluster="0", values=values)],
                   expect={name: (value, value) for name, value in expect.items()})  # fmt: skip


class Length(Plugin):
    """Mean negative log-likelihood of forty short sentences."""

    name = "trial-length"
    summary = "Likelihood."

    class Options(Options):
        items: int = 40

    @hookimpl
    def evaluation(self, run):
        texts = [f"The nurse said that she would see {k} children." for k in range(self.options.items)]

        def score(measured):
            return [ItemRecord(id=str(k), cluster=str(k // 2), values={"nll": -s.total})
                    for k, s in enumerate(measured.score(texts))]  # fmt: skip

        metric = Metric(name="surprise", value="nll", better="lower", primary=True, unit="nat")
        return Benchmark(name="trial-length", title="Surprise", score=score, metrics=[metric],
                         planted=[known({"nll": 2.0}, {"surprise": 2.0})])  # fmt: skip


class Quality(Plugin):
    """Perplexity of a few sentences."""

    name = "trial-quality"
    summary = "Perplexity."

    class Options(Options):
        items: int = 40

    @hookimpl
    def evaluation(self, run):
        texts = [f"Rain fell on the town for {k} days." for k in range(self.options.items)]

        def score(measured):
            return [ItemRecord(id=str(k), cluster=str(k), values={"logp": s.total, "words": 8.0})
                    for k, s in enumerate(measured.score(texts))]  # fmt: skip

        metric = Metric(name="perplexity", value="logp", per="words", transform="neg_exp", better="lower", primary=True)
        return Benchmark(name="trial-quality", title="Perplexity", score=score, metrics=[metric], quality=True,
                         planted=[known({"logp": 0.0, "words": 8.0}, {"perplexity": 1.0})])  # fmt: skip


ENDS = {"exit": SystemExit(3), "generator": GeneratorExit("no rows"), "interrupt": KeyboardInterrupt()}
"""What `trial-raise` raises in its data hook, beside ordinary errors."""


class Raise(Plugin):
    """Raises in the hook it is told to."""

    name = "trial-raise"
    summary = "Raises."
    kinds: ClassVar[tuple[str, ...]] = ("causal",)

    class Options(Options):
        stage: str = "data"

    @hookimpl
    def data(self, run, split, model):
        if self.options.stage == "data":
            raise ValueError("something is odd")
        if self.options.stage in ENDS:
            raise ENDS[self.options.stage]
        return None

    @hookimpl
    def transparency(self, run, model, result):
        if self.options.stage == "transparency":
            raise ValueError("nothing to say")
        if self.options.stage == "transparency exit":
            raise SystemExit(0)
        return None


class IdleOptions(StrengthOptions):
    """What it says of having done nothing."""

    why: str = ""


class Idle(Mitigation):
    """Promises to change the data and does not."""

    name = "trial-idle"
    summary = "Does nothing."
    Options = IdleOptions

    @hookimpl
    def data(self, run, split, model):
        return DataTransform(fn=lambda rows: rows, idle=lambda: self.options.why)
