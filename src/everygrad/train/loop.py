"""The training loop: mini-batches, history, the best parameters, and nothing lost whatever cuts it short."""

import inspect
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, final

import numpy as np

from everygrad.backprop.finite import complain
from everygrad.backprop.forward import Network
from everygrad.engines import Array
from everygrad.errors import InputError, NonFiniteError
from everygrad.graph import Graph
from everygrad.networks.initialise import generator
from everygrad.train.checkpoint import State, read, write
from everygrad.train.objective import Tally
from everygrad.train.optimizers import Optimizer
from everygrad.train.progress import Reporter, reporter
from everygrad.train.records import Epoch, Training
from everygrad.train.setting import Schedule, Setting, choose_optimizer, prepare


def train(
    net: Graph | Network,
    params: Mapping[str, Array],
    x: Array,
    y: Array | None = None,
    *,
    epochs: int = 20,
    batch_size: int = 32,
    optimizer: str | Optimizer = "adam",
    learning_rate: float | None = None,
    seed: int | np.random.Generator = 0,
    validation: Sequence[Array] | Mapping[str, Array] | None = None,
    progress: bool | Callable[[Epoch], object] = True,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int = 1,
    resume: bool = False,
    patience: int | None = None,
    allow_empty_classes: bool = False,
    weight: Array | None = None,
    **named: Array,
) -> Training:
    """Minimise a network's loss by mini-batches; returns the best parameters, the last and the history.

    Each epoch takes the samples in a new random order, ``batch_size`` at a time (the last batch may be
    short; a batch size above the number of samples takes all), and makes one step
    θ ← step(θ, ∂L/∂θ) for each batch, L being the network's own loss with its own reduction. Samples
    are rows of ``x``, ``y`` and ``weight`` (for a network that takes weights; samples of weight
    zero take no part), and of whatever else the network takes, by name: ``lengths`` or ``mask`` of
    sequences (batch, time, ...), their initial states ``h0``, ... A loss with a term for each step of a
    sequence is a mean over all steps, as its padding does not count. ``params`` are not written to.

    - ``optimizer``: ``"sgd"``, ``"momentum"``, ``"adam"``, or an `Optimizer` with its own learning rate.
    - ``seed``: a whole number, or the generator that shuffles.
    - ``validation``: ``(x, y)`` or ``(x, y, weight)``, or a dict of all arrays by name, evaluated after each
      epoch. With it the best parameters are those of the lowest validation loss, without it of the lowest
      training loss.
    - ``patience``: stop after so many epochs without a new best one.
    - ``progress``: True shows a bar on stderr (lines, if that is no terminal), False nothing; a function
      is called with each `Epoch`.
    - ``checkpoint``: a file, replaced as a whole every ``checkpoint_every`` epochs and whenever training
      ends. With ``resume=True`` training goes on from the file, if it is there, with bitwise the same
      parameters as if it had never stopped (on the same machine and libraries); ``params`` then serve
      for their shapes only. ``epochs``, the total, may be larger than before.

    Ctrl-C returns what there is, with ``interrupted=True``. Any error during training carries the same
    record as its attribute ``training``.

    Raises `InputError` with every mismatch of the arguments, for a class without a sample (unless
    ``allow_empty_classes``), a checkpoint that is there already (without ``resume``) or of another
    training; `NonFiniteError` for NaN or infinity in the data or, naming epoch, batch and quantity,
    during training; `FileFormatError` for a damaged checkpoint. Cost for each batch: one forward and one
    backward pass, and one step; validation adds its forward pass. The data are validated once.
    """
    path = None if checkpoint is None else Path(checkpoint)
    schedule = Schedule(epochs, batch_size, patience, path, checkpoint_every, resume)
    chosen = choose_optimizer(optimizer, learning_rate, schedule.problems())
    data = {"x": x, "y": y, "weight": weight, **named}
    options = [name for name in inspect.signature(train).parameters if name != "named"]
    setting = prepare(net, params, data, validation, chosen, allow_empty_classes, options)
    rng = generator(seed)
    own = type(rng.bit_generator).__name__
    described = {} if path is None else setting.described(net, schedule.batch_size, seed, own)
    start = setting.params
    state = State(start, chosen.init(start), rng.bit_generator.state, (), start, 0)
    if path is not None and resume and path.exists():
        state = read(path, state, described)
        rng = np.random.Generator(type(rng.bit_generator)())  # not the caller's, which the setting would change
        rng.bit_generator.state = state.random
        if len(state.history) > epochs:
            raise InputError(f"{path} has {len(state.history)} epochs already: epochs={epochs} is the total, not more")
    if path is not None:
        write(path, state, described)  # tells now, not after the first epoch, whether that can be done
    run = _Run(setting, schedule, described, state, rng)
    batches = -(-len(setting.training.rows) // batch_size)
    return run.complete(reporter(progress, epochs, len(state.history), batches))


@final
class _Run:
    """One training in progress. ``state`` is always that of an epoch's end; ``params`` move with each batch."""

    def __init__(
        self, setting: Setting, schedule: Schedule, described: dict[str, Any], state: State, rng: np.random.Generator
    ) -> None:
        self.setting, self.schedule, self.described = setting, schedule, described
        self.state = self.saved = state
        self.params = state.params
        self.rng = rng

    def complete(self, told: Reporter | None) -> Training:
        """All epochs, or those before Ctrl-C."""
        interrupted = False
        try:
            try:
                with told or nullcontext():
                    while not self._done():
                        epoch = self._advance(told)
                        if epoch.epoch % self.schedule.checkpoint_every == 0:
                            self._save()
                        if told is not None:
                            told.epoch(epoch)
            except KeyboardInterrupt:
                interrupted = True
            self._save()
        except BaseException as error:
            self._lose_nothing(error)
            raise
        return self._result(interrupted, self.state.best if self.state.best_epoch else self.params)

    def _done(self) -> bool:
        made = len(self.state.history)
        patience = self.schedule.patience
        return made >= self.schedule.epochs or (patience is not None and made - self.state.best_epoch >= patience)

    @np.errstate(all="ignore")  # whatever is not finite is reported, with its name
    def _advance(self, told: Reporter | None) -> Epoch:
        """One epoch; the new state replaces the old one at once, at its end."""
        objective, training = self.setting.objective, self.setting.training
        number = len(self.state.history) + 1
        began = time.perf_counter()
        memory, tally = self.state.memory, Tally()
        order = training.rows[self.rng.permutation(len(training.rows))]
        for rows in training.batches(self.schedule.batch_size, order):
            try:
                found, norms = objective.gradients(self.params, training.take(rows))
            except NonFiniteError as error:
                raise self._located(f"epoch {number}, batch {tally.batches + 1}", error) from error
            tally.add(objective, found.trace, training, rows)
            tally.add_norms(norms)
            self.params, memory = self.setting.optimizer.step(self.params, found, memory)
            if told is not None:
                told.batch(number, tally)
        params, memory = _in_row_order(self.params), _in_row_order(memory)
        complain(params, params, f"epoch {number}, after the last batch: the parameter")
        held_out = self._validate(number, params)
        epoch = Epoch(
            epoch=number,
            loss=tally.loss,
            accuracy=tally.accuracy,
            validation_loss=held_out[0],
            validation_accuracy=held_out[1],
            gradient_norms=tally.gradient_norms,
            seconds=time.perf_counter() - began,
        )
        past = self.state.history
        best, best_epoch = self.state.best, self.state.best_epoch
        if best_epoch == 0 or epoch.watched < past[best_epoch - 1].watched:
            best, best_epoch = params, number
        state = State(params, memory, self.rng.bit_generator.state, (*past, epoch), best, best_epoch)
        self.state, self.params = state, params
        return epoch

    def _validate(self, number: int, params: Mapping[str, Array]) -> tuple[float | None, float | None]:
        if self.setting.validation is None:
            return None, None
        try:
            return self.setting.objective.evaluate(params, self.setting.validation)
        except NonFiniteError as error:
            raise self._located(f"epoch {number}, validation data", error) from error

    def _located(self, where: str, error: NonFiniteError) -> NonFiniteError:
        rate = self.setting.optimizer.learning_rate
        return NonFiniteError(f"{where}: {error}. A learning rate below {rate:g} may help")

    def _save(self) -> None:
        """Write the checkpoint, unless it holds this state already."""
        if self.schedule.checkpoint is not None and self.saved is not self.state:
            write(self.schedule.checkpoint, self.state, self.described)
            self.saved = self.state

    def _lose_nothing(self, error: BaseException) -> None:
        """Keep the record in the error, and the last complete epoch in the checkpoint."""
        error.training = self._result(True, self.state.best)  # type: ignore[attr-defined]
        error.add_note("The best parameters so far, the last ones and the history are in this error's .training")
        try:
            self._save()
        except InputError as failure:
            error.add_note(f"The checkpoint could not be written: {failure}")

    def _result(self, interrupted: bool, best: Mapping[str, Array]) -> Training:
        idle = self.setting.idle
        return Training(
            params={**best, **idle},
            last={**self.params, **idle},
            history=self.state.history,
            best_epoch=self.state.best_epoch,
            interrupted=interrupted,
        )


def _in_row_order(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """As a checkpoint gives them back: the order in memory decides how a matrix product rounds."""
    return {
        name: np.asarray(a, order="C") if isinstance(a, np.ndarray | np.generic) else a for name, a in arrays.items()
    }
