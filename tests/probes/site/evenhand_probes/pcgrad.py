"""PCGrad: each term's gradient loses what points against another term's. It counts, and the count must survive."""

from __future__ import annotations

from pydantic import Field

from evenhand_sdk import Aggregator, Fact, LossTerm, Options, Plugin, Section, hookimpl


class PCGrad(Plugin):
    """g_i <- g_i - (g_i . g_j / |g_j|^2) g_j where g_i . g_j < 0, over j in random order; sum over i."""

    name = "probe-pcgrad"
    summary = "Project away conflicts between gradients."
    source = "Yu et al. 2020, Gradient surgery for multi-task learning, algorithm 1."

    class Options(Options):
        stop_after: int = Field(0, description="Interrupt the first run after so many updates.")

    def __init__(self, options=None, **values):
        super().__init__(options, **values)
        self.counts = {"updates": 0, "conflicts": 0}

    @hookimpl
    def objective(self, run, model):
        import torch

        stopped = run.folder / "stopped"

        def combine(losses, gradients):
            draw = torch.Generator().manual_seed(run.seed_for("order") + self.counts["updates"])
            names = list(gradients)
            total = torch.zeros_like(gradients[names[0]])
            for name in names:
                g = gradients[name].clone()
                for k in torch.randperm(len(names), generator=draw).tolist():
                    other = gradients[names[k]]
                    dot = g @ other
                    if names[k] != name and dot < 0:
                        g -= dot / (other @ other) * other
                        self.counts["conflicts"] += 1
                total += g
            self.counts["updates"] += 1
            if self.counts["updates"] == self.options.stop_after and not stopped.exists():
                stopped.touch()
                raise KeyboardInterrupt
            return total

        # Against the language-modelling loss on purpose: it makes next-token distributions more extreme.
        sharp = LossTerm(name="sharp", fn=lambda batch, outputs: outputs.logits.log_softmax(-1).mean())
        aggregator = Aggregator(
            name="pcgrad",
            combine=combine,
            uses="gradients",
            state_dict=lambda: dict(self.counts),
            load_state_dict=self.counts.update,
        )
        return [sharp, aggregator]

    @hookimpl
    def transparency(self, run, model, result):
        return Section(title="PCGrad", facts=[Fact(label=k, value=v) for k, v in self.counts.items()])
