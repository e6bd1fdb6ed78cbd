"""Worker processes that draw pictures."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor


def drawing_pool(workers: int) -> ProcessPoolExecutor:
    """A pool of fresh processes.

    They are spawned, not forked: a fork of a process in which TensorFlow has started its threads dies.
    """
    return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
