"""The settings of a training as `transformers.TrainingArguments`, on the device that the model is on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenhand.processes import count

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from evenhand.recipe_model import TrainingSection


def arguments_of(
    model: PreTrainedModel, settings: TrainingSection, folder: Path, *, seed: int, batch: int, accumulation: int
) -> Any:
    """For updates of `batch` rows `accumulation` times, however many accelerators this machine has."""
    from transformers import TrainingArguments

    on_cpu = model.device.type == "cpu"
    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=settings.max_steps,
        per_device_train_batch_size=batch,
        gradient_accumulation_steps=accumulation,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=warmup_updates(settings),
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.gradient_clip,
        bf16=in_bf16(settings, model),
        use_cpu=on_cpu,
        save_strategy="steps",
        save_steps=settings.save_every,
        save_total_limit=2,
        logging_strategy="steps",
        logging_steps=settings.log_every,
        report_to=[],  # those that the settings name are made by `training_log`
        disable_tqdm=True,
        seed=seed,
        data_seed=seed,
        remove_unused_columns=False,
        dataloader_num_workers=0,
        dataloader_pin_memory=not on_cpu,
    )
    _stay(arguments, model.device)
    return arguments


def warmup_updates(settings: TrainingSection) -> int:
    """Updates in which the learning rate rises from 0; none where none is asked for, and never all of them."""
    if settings.warmup == 0:
        return 0
    return max(0, min(settings.max_steps - 1, max(1, int(settings.warmup * settings.max_steps))))


def in_bf16(settings: TrainingSection, model: PreTrainedModel) -> bool:
    """Whether products are made in bfloat16, over float32 weights."""
    from evenhand.scoring_precision import fast_bf16

    return settings.precision == "bf16" or (settings.precision == "auto" and fast_bf16(model.device))


def autocast_of(settings: TrainingSection, model: PreTrainedModel) -> torch.autocast:
    """A block in which products are made as the settings say, outside of the trainer's own."""
    import torch

    return torch.autocast(model.device.type, torch.bfloat16, enabled=in_bf16(settings, model))


def _stay(arguments: Any, device: torch.device) -> None:
    """Without a launcher, `Trainer` takes all accelerators of the machine, each with a batch, and moves the model to
    the first. One process trains on one, where the model is."""
    if count() > 1 or device.type == "cpu":
        return
    import torch

    arguments._n_gpu = min(1, arguments.n_gpu)
    if device.index is not None and torch.accelerator.is_available():
        torch.accelerator.set_device_index(device.index)
        vars(arguments)["_setup_devices"] = device


@contextlib.contextmanager
def current_device_kept() -> Iterator[None]:
    """A block that may change which accelerator is the current one; it is put back."""
    import torch

    if not torch.accelerator.is_available():
        yield
        return
    before = torch.accelerator.current_device_index()
    try:
        yield
    finally:
        torch.accelerator.set_device_index(before)
