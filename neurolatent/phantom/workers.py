"""Workers that render people side by side."""

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch


@contextmanager
def single_threads(jobs: int) -> Generator[ThreadPoolExecutor]:
    """Give workers that compute with one thread each, so that their number changes no byte.

    Torch lets other threads run while it computes, and threads share the anatomies, which take seconds to make.
    """
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(jobs, initializer=torch.set_num_threads, initargs=(1,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)
