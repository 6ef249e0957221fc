"""What a run's memory samples cost, and what they still tell."""

import time

import pytest

from pipelines.observe import MemorySampler

pytestmark = pytest.mark.pipeline


def test_samples_are_thinned_and_peaks_stay():
    start = time.time()
    with MemorySampler(interval=0.0001, most=8) as memory:
        while memory._interval < 0.002:
            time.sleep(0.001)
        with memory._lock:
            assert len(memory._times) == len(memory._mib) <= 8
            memory._mib[0] = 1e6
        while memory._interval < 0.004:
            time.sleep(0.001)
        assert memory.peak(start, time.time()) == 1e6
        last = memory.peak(time.time(), time.time())
    assert 0 < last < 1e6
