"""`gim deploy`: an encoder to a Vertex AI endpoint."""

import argparse
import json
from typing import Any

from gim_tf.cli import shared
from gim_tf.cli.printing import say


def add_deploy(added: Any) -> None:
    """The verb."""
    parser = shared.verb(
        added,
        "deploy",
        deploy,
        "serve pushed versions on a Vertex AI endpoint, under TF Serving",
        "gim deploy gs://BUCKET/gim/serving/fashion_mnist_gim --name gim "
        "--project P --region R --image IMAGE --dry-run",
    )
    parser.add_argument(
        "directory",
        metavar="DIR",
        help="holds numbered versions, of which TF Serving takes the newest",
    )
    for name, text in (
        ("name", "of the model, in requests too"),
        ("project", "Google Cloud project"),
        ("region", "such as europe-west4"),
        ("image", "TF Serving, in a registry that Vertex AI can read"),
    ):
        parser.add_argument(f"--{name}", required=True, help=text)
    parser.add_argument(
        "--machine-type",
        default="n1-standard-4",
        metavar="NAME",
        help="of each replica; n1-standard-4 by default",
    )
    for name in ("min", "max"):
        parser.add_argument(
            f"--{name}-replicas",
            type=int,
            default=1,
            metavar="N",
            help="1 by default",
        )
    parser.add_argument(
        "--endpoint", metavar="ID", help="one that there is; none: a new one"
    )
    parser.add_argument(
        "--service-account", metavar="EMAIL", help="who the container runs as"
    )
    parser.add_argument(
        "--staging-bucket",
        metavar="gs://...",
        help="that a local DIR is copied to",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print the calls and stop; needs neither network nor credentials",
    )


def deploy(options: argparse.Namespace) -> None:
    """Prints the calls, or makes them."""
    from serving import vertex_deploy

    wanted = vertex_deploy.Deployment(
        directory=options.directory,
        name=options.name,
        project=options.project,
        region=options.region,
        image=options.image,
        machine_type=options.machine_type,
        replicas=(options.min_replicas, options.max_replicas),
        endpoint=options.endpoint,
        service_account=options.service_account,
        staging=options.staging_bucket,
    )
    if not options.dry_run:
        print(f"Endpoint: {vertex_deploy.deploy(wanted, say)}")
        return
    for call in vertex_deploy.calls(wanted):
        print(f"aiplatform.{call.function}")
        for name, value in call.arguments.items():
            print(f"    {name} = {json.dumps(value)}")
    print("\nDry run: nothing was uploaded or created.")
