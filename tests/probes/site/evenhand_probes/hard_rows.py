"""Keep the rows that a briefly trained copy of the model still finds improbable."""

from __future__ import annotations

from pydantic import Field

from evenhand_sdk import DataTransform, Mitigation, StrengthOptions, hookimpl


class HardRows(Mitigation):
    """Rows by negative log-likelihood per token after a few steps; the easiest strength / 2 of them go."""

    name = "probe-hard-rows"
    summary = "Drop the rows that are learned first."
    source = "Dataset cartography in one number."

    class Options(StrengthOptions):
        steps: int = Field(5, ge=1, description="Steps of the early checkpoint.")

    @hookimpl
    def data(self, run, split, model):
        def fn(rows):
            if not self.options.strength:
                return rows
            early, _ = run.services.train(rows, max_steps=self.options.steps, name=run.step_id)
            scores = run.services.score(rows["text"][:], model=early)
            order = sorted(range(len(rows)), key=lambda k: (scores[k].mean, k))
            kept = sorted(order[: round(len(rows) * (1 - self.options.strength / 2))])
            return rows.select(kept).add_column("early_mean", [scores[k].mean for k in kept])

        return DataTransform(fn=fn)
