"""Jobs over processes: order, errors, and a process that dies."""

import operator
import os

import pytest

from paribus.errors import RequestError, WorkError
from paribus.study.calibration.parallel import Processes


@pytest.mark.parametrize("workers", [1, 2])
def test_results_stand_in_the_order_of_the_jobs_and_each_is_told(workers):
    told = []
    with Processes(workers) as processes:
        assert processes.map(operator.neg, range(20), progress=told.append) == [-n for n in range(20)]
        assert processes.map(abs, [-1], progress=told.append) == [1]  # the processes are used again
    assert told == [1] * 21


@pytest.mark.parametrize("workers", [1, 2])
def test_what_a_job_raises_is_raised(workers):
    with Processes(workers) as processes, pytest.raises(ZeroDivisionError):
        processes.map((1).__truediv__, [1, 0, 2], progress=lambda done: None)


def test_one_worker_is_this_process():
    with Processes(1) as processes:
        assert processes.map(_pid, [0], progress=lambda done: None) == [os.getpid()]


def _pid(_: int) -> int:
    return os.getpid()


def test_a_process_that_dies_is_one_sentence():
    with Processes(2) as processes, pytest.raises(WorkError, match="a worker process died"):
        processes.map(os._exit, [3], progress=lambda done: None)


def test_no_workers_are_refused():
    with pytest.raises(RequestError, match="at least one worker"):
        Processes(0)
