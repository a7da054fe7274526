"""Erase one direction from what enters the output matrix; fitted on streamed hidden states, folded or live."""

from __future__ import annotations

from pydantic import Field

from evenhand_sdk import Artifact, Mitigation, ModelTransform, StrengthOptions, hookimpl

FRAMES = ("{} is a good doctor", "I think that {}", "The nurse said that {}", "At work {} was quick", "Then {}")


class Erasure(Mitigation):
    """h <- h - strength (h . d) d with d the unit difference of the group means, at the last token."""

    name = "probe-erasure"
    summary = "Erase the mean difference of two groups."
    source = "Mean projection, the simplest linear concept erasure."
    kinds = ("causal",)

    class Options(StrengthOptions):
        folds: bool = Field(True, description="Write it into the output matrix.")

    @hookimpl
    def architecture(self, run, model):
        import torch

        handles, kept = [], {}

        def fit(model):
            sums, counts = torch.zeros(2, model.config.hidden_size), torch.zeros(2)
            for group, word in enumerate(("he", "she")):
                texts = [frame.format(word) for frame in FRAMES]
                for _, states, mask in run.services.hidden_states(texts, model=model, batch_size=2):
                    last = mask.sum(-1) - 1
                    # The last of the hidden states has passed the final norm: it is what the output matrix reads.
                    sums[group] += states[-1][torch.arange(len(last)), last].sum(0)
                    counts[group] += len(last)
            means = sums / counts[:, None]
            return Artifact(tensors={"direction": torch.nn.functional.normalize(means[1] - means[0], dim=0)})

        def apply(model, artifact):
            d = kept["direction"] = artifact.tensors["direction"]

            def project(module, args):
                return (args[0] - self.options.strength * (args[0] @ d)[..., None] * d, *args[1:])

            handles.append(model.get_output_embeddings().register_forward_pre_hook(project))

        def fold(model):
            if not self.options.folds:
                return False
            head, d = model.get_output_embeddings(), kept["direction"]
            weight = head.weight.detach()
            head.weight = torch.nn.Parameter(weight - self.options.strength * (weight @ d)[:, None] * d)
            model.config.tie_word_embeddings = False  # the embeddings keep the direction
            handles.pop().remove()
            return True

        return ModelTransform(fit=fit, apply=apply, revert=lambda model: handles.pop().remove(), fold=fold)
