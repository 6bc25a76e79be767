"""Training from the command line: what went before is never lost, and the history is a table."""

from collections.abc import Mapping
from typing import Any

from everygrad.cli.case import Case, score
from everygrad.cli.options import EPOCHS, RECURRENT_EPOCHS, Recipe
from everygrad.cli.progress import epochs as progress
from everygrad.train import Training, train

SHOWN = 12
"""Epochs in the table of a longer history: evenly spaced, the best and the last."""
MOST_NORMS = 6
"""Gradient norms in the table."""


def fit(case: Case, recipe: Recipe, quiet: bool) -> Training:
    """Train on the rows for it; the held-out rows say which epoch was best."""
    batch, held_out = case.train, case.held_out()
    epochs = default_epochs(case) if recipe.epochs is None else recipe.epochs
    return train(
        case.network,
        case.params,
        batch.x,
        batch.y,
        epochs=epochs,
        batch_size=recipe.batch_size,
        optimizer=recipe.optimizer,
        learning_rate=recipe.learning_rate,
        seed=case.seed,
        validation=held_out.named() if len(case.data.x_test) else None,
        progress=progress(epochs, quiet),
        checkpoint=recipe.checkpoint,
        resume=recipe.resume,
        patience=recipe.patience,
        **batch.more,
    )


def default_epochs(case: Case) -> int:
    """How many, if nothing was said."""
    return RECURRENT_EPOCHS if case.is_recurrent else EPOCHS


def summary(training: Training) -> str:
    """How long, and which epoch was kept."""
    count = len(training.history)
    how = "Interrupted after" if training.interrupted else "Trained for"
    head = f"{how} {count} epoch{'' if count == 1 else 's'}"
    if not training.best_epoch:
        return f"{head}: the parameters so far are kept"
    watched = "held-out loss" if training.history[0].validation_loss is not None else "loss"
    more = ", still falling: more --epochs may help" if 1 < count == training.best_epoch else ""
    return f"{head}; epoch {training.best_epoch} is kept, which has the lowest {watched}{more}"


def score_line(case: Case, params: Mapping[str, Any], trained: bool) -> str:
    """How good the network is on rows that it was not trained on, and what that is worth."""
    if not len(case.data.x_test):
        return "No rows are held out: the numbers are those of rows that were trained on"
    line = f"Held-out {score(case, params)}"
    if not case.known_split:
        return f"{line} (whether the saved network was trained on them before is not known)"
    if trained or case.file:
        return f"{line} (which also chose the epoch)"
    return f"{line} (not trained)"


def history_rows(training: Training) -> list[tuple[str, ...]]:
    """The table of the history; its first row is the head."""
    history = training.history
    stride = -(-len(history) // SHOWN)
    shown = [e for e in history if (e.epoch - 1) % stride == 0 or e.epoch in (training.best_epoch, len(history))]
    first = history[0]
    columns: dict[str, Any] = {"epoch": lambda e: f"{e.epoch}", "loss": lambda e: f"{e.loss:.4g}"}
    if first.accuracy is not None:
        columns["accuracy"] = lambda e: _percent(e.accuracy)
    if first.validation_loss is not None:
        columns["held-out loss"] = lambda e: f"{e.validation_loss:.4g}"
    if first.validation_accuracy is not None:
        columns["held-out accuracy"] = lambda e: _percent(e.validation_accuracy)
    for name in [name for name in first.gradient_norms if name.startswith(("W", "U", "V"))][:MOST_NORMS]:
        columns[f"‖∇{name}‖"] = lambda e, name=name: f"{e.gradient_norms[name]:.3g}"
    columns[""] = lambda e: "best" if e.epoch == training.best_epoch else ""
    return [tuple(columns), *(tuple(cell(epoch) for cell in columns.values()) for epoch in shown)]


def as_json(training: Training) -> Mapping[str, Any]:
    """The history for a document."""
    return {
        "epochs": len(training.history),
        "best_epoch": training.best_epoch,
        "interrupted": training.interrupted,
        "history": training.as_rows(),
    }


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
