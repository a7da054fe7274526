"""Bottleneck adapters behind every MLP, trained one by one, and a fusion that mixes them with trained weights.

Hooks look their modules up on the module that they are called for, so that a copied model uses its own.
"""

from __future__ import annotations

from pydantic import Field

from evenhand_sdk import Artifact, DataTransform, ModelTransform, Options, Plugin, hookimpl


def mlps(model):
    """(name, module) of every MLP."""
    return [(name, module) for name, module in model.named_modules() if name.endswith(".mlp")]


def bottleneck(tensors, prefix):
    """The module with the tensors `prefix + down` and `prefix + up`: x -> up relu(down x)."""
    import torch

    down, up = tensors[prefix + "down"], tensors[prefix + "up"]
    first = torch.nn.Linear(down.shape[1], down.shape[0], bias=False)
    second = torch.nn.Linear(up.shape[1], up.shape[0], bias=False)
    first.weight.data.copy_(down)
    second.weight.data.copy_(up)
    return torch.nn.Sequential(first, torch.nn.ReLU(), second)


def attach(model, key, make, add):
    """Put `make(name)` on every MLP under `key`, and add what `add(module, out)` gives to its output."""
    handles = []
    for name, module in mlps(model):
        module.add_module(key, make(name))
        hook = lambda module, args, out: out + add(getattr(module, key), out)  # noqa: E731
        handles.append((module, module.register_forward_hook(hook)))
    return handles


def detach(handles, key):
    """Take everything away again."""
    while handles:
        module, handle = handles.pop()
        handle.remove()
        delattr(module, key)


class Adapter(Plugin):
    """One adapter; after its training it stands aside, so that the next one learns without it."""

    name = "probe-adapter"
    shapes_training = True
    summary = "Train an adapter on the rows with a word."
    source = "Houlsby et al. 2019, without the second half of each layer."
    kinds = ("causal",)

    class Options(Options):
        word: str = Field("she", description="Train on rows that have this word.")
        size: int = Field(4, description="Hidden units.")

    @hookimpl
    def data(self, run, split, model):
        return DataTransform(fn=lambda rows: rows.filter(lambda row: self.options.word in row["text"].lower().split()))

    @hookimpl
    def architecture(self, run, model):
        import torch

        key, handles = f"probe_{run.step_id}", []
        state = {"enabled": True}

        def fit(model):
            draw = torch.Generator().manual_seed(run.seed_for("adapter"))
            width, tensors = model.config.hidden_size, {}
            for name, _ in mlps(model):
                tensors[f"{name}.down"] = torch.randn(self.options.size, width, generator=draw) * 0.1
                tensors[f"{name}.up"] = torch.zeros(width, self.options.size)
            return Artifact(tensors=tensors, meta={"enabled": True})

        def apply(model, artifact):
            state["enabled"] = artifact.meta["enabled"]
            make = lambda name: bottleneck(artifact.tensors, f"{name}.")  # noqa: E731
            handles.extend(attach(model, key, make, lambda part, out: part(out) if state["enabled"] else 0))

        def trainable(model):
            return [name for name, _ in model.named_parameters() if f".{key}." in name]

        def finish(model):
            state["enabled"] = False
            tensors = {}
            for name, module in mlps(model):
                part = getattr(module, key)
                tensors[f"{name}.down"] = part[0].weight.detach().clone()
                tensors[f"{name}.up"] = part[2].weight.detach().clone()
            return Artifact(tensors=tensors, meta={"enabled": False})

        def fold(model):
            if state["enabled"]:
                return False
            detach(handles, key)  # standing aside, it adds nothing: the fusion has its tensors
            return True

        return ModelTransform(
            fit=fit,
            apply=apply,
            revert=lambda model: detach(handles, key),
            trainable=trainable,
            finish=finish,
            fold=fold,
        )


class Fusion(Plugin):
    """sum_k softmax(w)_k adapter_k(x) behind every MLP; only w is trained."""

    name = "probe-fusion"
    shapes_training = True
    summary = "Mix adapters with trained weights."
    source = "Pfeiffer et al. 2021, with one weight an adapter and layer instead of attention."
    kinds = ("causal",)

    class Options(Options):
        adapters: list[str] = Field(min_length=1, description="The adapter steps to mix.")

    @hookimpl
    def architecture(self, run, model):
        import torch

        key, handles, count = f"fused_{run.step_id}", [], len(self.options.adapters)

        class Mixture(torch.nn.Module):
            def __init__(self, parts, weights):
                super().__init__()
                self.parts, self.weights = torch.nn.ModuleList(parts), torch.nn.Parameter(weights.clone())

            def forward(self, out):
                shares = self.weights.softmax(0)
                return sum(share * part(out) for share, part in zip(shares, self.parts, strict=True))

        def fit(model):
            tensors = {}
            for k, reference in enumerate(self.options.adapters):
                trained = run.step(reference).artifact.tensors
                tensors |= {f"{k}.{name}": tensor for name, tensor in trained.items()}
            return Artifact(tensors=tensors | {f"{name}.weights": torch.zeros(count) for name, _ in mlps(model)})

        kept = {}

        def apply(model, artifact):
            kept.update(artifact.tensors)

            def make(name):
                parts = [bottleneck(artifact.tensors, f"{k}.{name}.") for k in range(count)]
                return Mixture(parts, artifact.tensors[f"{name}.weights"])

            handles.extend(attach(model, key, make, lambda mixture, out: mixture(out)))

        def finish(model):
            weights = {f"{name}.weights": getattr(module, key).weights.detach().clone() for name, module in mlps(model)}
            return Artifact(tensors=kept | weights)

        return ModelTransform(
            fit=fit,
            apply=apply,
            revert=lambda model: detach(handles, key),
            trainable=lambda model: [f"{name}.{key}.weights" for name, _ in mlps(model)],
            finish=finish,
            portable=False,
        )
