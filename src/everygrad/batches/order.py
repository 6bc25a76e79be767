"""Items one after the other through several threads: results in the order of the items, few of them at a time."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(task: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Generator[Result]:
    """``task`` of each item, in their order, whoever is ready first; the items are read in the caller's thread.

    At most ``workers`` + 1 items, or what became of them, are held at a time. An error in the items is raised after
    the results of those before it, as that of the first item whose task fails is.
    """
    if workers == 1:
        yield from map(task, items)
        return
    pending: deque[Future[Result]] = deque()
    source, failure = iter(items), None
    with ThreadPoolExecutor(workers, "everygrad") as pool:
        try:
            while True:
                try:
                    item = next(source)
                except StopIteration:
                    break
                except Exception as error:  # raised below: those before it are not lost
                    failure = error
                    break
                pending.append(pool.submit(task, item))
                del item
                if len(pending) > workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
    if failure is not None:
        raise failure
