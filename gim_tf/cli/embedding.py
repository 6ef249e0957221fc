"""What `gim embed` and `gim neighbors` do with their arguments.

TensorFlow is imported inside, Beam only for an output in Parquet.
"""

import argparse
import shlex

from tqdm import tqdm

from gim_tf.cli.printing import installed, print_table, say
from gim_tf.errors import ConfigError
from gim_tf.paths import local_path


def embed(options: argparse.Namespace) -> None:
    """Writes the representations of files, folders and records."""
    if options.output.suffix == ".parquet":
        _embed_all(options)
        return
    if options.output.suffix != ".npz":
        raise ConfigError(
            f"--output must end in .npz or .parquet, received {options.output}."
        )
    for flag in ("split", "projector", "max_bad", "beam_args"):
        if getattr(options, flag):
            raise ConfigError(
                f"--{flag.replace('_', '-')} goes with an output that ends in "
                f".parquet, received {options.output}."
            )
    from gim_tf import jobs

    files = [local_path(name) for name in options.source]
    count = jobs.embed(files, options.model, options.output)
    print(f"{count} embeddings in {options.output}")


def neighbors(options: argparse.Namespace) -> None:
    """Prints what is nearest to one item, and writes the page."""
    from gim_tf import jobs
    from gim_tf.inspection.neighbor_page import agreement, decimals, label_name

    found = jobs.neighbors(
        options.embeddings,
        options.query,
        module=options.module,
        k=options.k,
        model_dir=options.model,
        source=options.source,
        page=options.output,
    )
    names = found.class_names
    digits = decimals(found.result)
    rows = [
        {
            "rank": rank,
            "cosine": f"{one.similarity:.{digits}f}",
            "label": label_name(one.label, names) or "-",
            "split": one.split or "-",
            "id": one.id,
        }
        for rank, one in enumerate(found.result.found, start=1)
    ]
    print_table(rows)
    same = agreement(found.query, found.result)
    if same is not None:
        print(
            f"\n{same[0]} of {len(rows)} have the query's label, "
            f"{label_name(found.query.label, names)}; of all "
            f"{found.result.size} it is {100 * same[1]:.1f} %."
        )
    if options.output is not None:
        print(f"Page: {options.output}")


def _embed_all(options: argparse.Namespace) -> None:
    say("Loading Beam (a few seconds) ...")
    from pipelines.embed import embed

    # The bar needs a total, which the job finds out.
    with tqdm(unit=" items", leave=False, delay=0.1) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        facts = embed(
            options.source,
            options.model,
            options.output,
            split=options.split,
            max_bad=options.max_bad,
            beam_args=shlex.split(options.beam_args),
            progress=progress,
        )
    print(f"{facts.count} embeddings in {options.output}")
    if facts.num_rejected:
        print(
            f"{facts.num_rejected} left out, listed in "
            f"{options.output}.rejected.jsonl"
        )
    if options.projector is not None:
        from gim_tf import jobs

        count = jobs.project(options.output, options.projector)
        logs = shlex.quote(str(options.projector))
        print(f"{count} of them in the projector of {options.projector}")
        print(f"TensorBoard: {installed('tensorboard')} --logdir {logs}")
