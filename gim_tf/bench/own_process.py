"""`gim bench step` in a process of its own, whose memory nothing else has used.

`python -m gim_tf.bench.own_process` reads one request from standard input and
writes one result, both JSON.
"""

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from gim_tf import config
from gim_tf.bench.step import measure
from gim_tf.bench.stepper import Plan
from gim_tf.errors import BenchError


def measure_apart(plan: Plan, *, steps: int, threads: int) -> dict[str, Any]:
    """`gim_tf.bench.step.measure` without the matrix product, elsewhere.

    Raises:
      BenchError: the process failed; has the last line that it wrote.
    """
    request = {
        "plan": dataclasses.asdict(plan),
        "steps": steps,
        "threads": threads,
    }
    done = subprocess.run(
        [sys.executable, "-m", __name__],
        input=json.dumps(request),
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["(nothing)"]
        raise BenchError(
            f"A step of {plan.experiment.name} ended with code "
            f"{done.returncode}: {said[-1]}. -9 is out of memory: lower "
            "--batch-size."
        )
    return json.loads(done.stdout.splitlines()[-1])


def _plan(values: Mapping[str, Any]) -> Plan:
    experiment = config.from_dict(values["experiment"])
    return Plan(**{**values, "experiment": experiment})


def _main() -> None:
    request = json.load(sys.stdin)
    result = measure(
        _plan(request["plan"]),
        steps=request["steps"],
        threads=request["threads"],
        gemm=None,
    )
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    _main()
