"""Latency and throughput of a served model: `python -m serving.load_test`.

    python -m serving.load_test --url http://127.0.0.1:8501 --model gim \
        --file photo.png --concurrency 1 2 4 --seconds 5

Each of `concurrency` threads sends the file again as soon as it has an answer,
without retries: an error is counted.
"""

import argparse
import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gim_tf.errors import GimError, ServingError
from serving.client import Client, Patience, connect, encode_files


class Load(NamedTuple):
    """What a test sends.

    Attributes:
      files: of one request.
      signature_name: which function.
      output_filter: names of the outputs that are wanted; none: all.
      seconds: how long.
    """

    files: Sequence[bytes]
    signature_name: str = "serving_default"
    output_filter: Sequence[str] = ()
    seconds: float = 5.0


class Result(NamedTuple):
    """Of one concurrency; latencies in ms, of the answered requests."""

    concurrency: int
    requests: int
    errors: int
    p50: float
    p95: float
    p99: float
    per_second: float


def measure(client: Client, load: Load, concurrency: int) -> Result:
    """Sends from several threads and sums up.

    Args:
      client: warmed up by one request, which does not count.
      load: what is sent.
      concurrency: how many threads.

    Raises:
      ServingError: the request that does not count was refused.
    """
    _send(client, load)
    latencies: list[float] = []
    errors: list[ServingError] = []
    start = time.monotonic()

    def send_on() -> None:
        while (begun := time.monotonic()) < start + load.seconds:
            try:
                _send(client, load)
            except ServingError as error:
                errors.append(error)
            else:
                latencies.append(time.monotonic() - begun)

    threads = [threading.Thread(target=send_on) for _ in range(concurrency)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic() - start
    p50, p95, p99 = np.percentile(latencies or [np.nan], [50, 95, 99]) * 1e3
    return Result(
        concurrency=concurrency,
        requests=len(latencies) + len(errors),
        errors=len(errors),
        p50=float(p50),
        p95=float(p95),
        p99=float(p99),
        per_second=len(latencies) / took,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a row for each concurrency.

    Returns:
      0; 1: a request failed; 2: nothing could be sent.
    """
    options = _parser().parse_args(arguments)
    try:
        return _run(options)
    except (GimError, OSError) as error:
        print(f"load test: {error}", file=sys.stderr)
        return 2


def _run(options: argparse.Namespace) -> int:
    # The gRPC client's messages bring TensorFlow, which speaks of CUDA.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    client = connect(options.url, options.model, patience=Patience(retries=0))
    load = Load(
        files=[options.file.read_bytes()] * options.batch,
        signature_name=options.signature,
        output_filter=options.outputs,
        seconds=options.seconds,
    )
    print("concurrency  requests  errors  p50 ms  p95 ms  p99 ms  requests/s")
    failed = 0
    for concurrency in options.concurrency:
        found = measure(client, load, concurrency)
        failed += found.errors
        print(
            f"{found.concurrency:11}  {found.requests:8}  {found.errors:6}  "
            f"{found.p50:6.1f}  {found.p95:6.1f}  {found.p99:6.1f}  "
            f"{found.per_second:10.1f}",
            flush=True,
        )
    return 1 if failed else 0


def _send(client: Client, load: Load) -> None:
    encode_files(
        client,
        load.files,
        signature_name=load.signature_name,
        output_filter=load.output_filter,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split(":")[0])
    add = parser.add_argument
    add("--url", required=True, help="http://host:8501 or grpc://host:8500")
    add("--model", required=True, help="its name on the server")
    add("--file", type=Path, required=True, help="a picture or a WAV file")
    add("--batch", type=int, default=1, help="times the file in a request")
    add("--signature", default="serving_default", help="which function")
    add("--outputs", nargs="*", default=[], help="wanted ones; all by default")
    add("--concurrency", type=int, nargs="+", default=[1, 2, 4, 8])
    add("--seconds", type=float, default=5.0, help="for each concurrency")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
