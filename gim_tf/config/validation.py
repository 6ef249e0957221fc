"""What the types of a configuration cannot say: which values go together."""

from gim_tf.config.schema import Experiment, InfoNCEConfig
from gim_tf.errors import ConfigError


def validate(experiment: Experiment) -> None:
    """Raises `ConfigError` for a configuration that cannot run."""
    _check_view(experiment)
    _check_stack(experiment)
    _check_training(experiment)


def _check_view(experiment: Experiment) -> None:
    view = experiment.view
    _require(
        view.patch_size <= view.crop_size <= view.pad_to,
        "view sizes must satisfy patch_size <= crop_size <= pad_to, received "
        f"{view.patch_size}, {view.crop_size}, {view.pad_to}",
    )
    _require(
        view.size <= view.pad_to,
        f"view.pad_to must be at least view.size, received {view.pad_to} "
        f"and {view.size}",
    )
    _require(view.patch_stride >= 1, "view.patch_stride must be positive")
    _require(
        len(view.mean) == len(view.std) == view.channels,
        f"view.mean and view.std need {view.channels} values each, received "
        f"{len(view.mean)} and {len(view.std)}",
    )
    _require(
        0.0 <= view.flip_probability <= 1.0,
        "view.flip_probability must be in [0, 1]",
    )


def _check_stack(experiment: Experiment) -> None:
    stack = experiment.stack
    encoder = stack.encoder
    _require(
        len(encoder.planes) == len(encoder.depths),
        "stack.encoder.planes and depths need the same length, received "
        f"{len(encoder.planes)} and {len(encoder.depths)}",
    )
    blocks = 1 + sum(encoder.depths)
    _require(
        sum(stack.module_sizes) == blocks and min(stack.module_sizes) > 0,
        f"stack.module_sizes must be positive and sum to the {blocks} blocks "
        f"of the encoder (stem included), received {stack.module_sizes}",
    )
    objective = stack.objective
    if isinstance(objective, InfoNCEConfig):
        reach = objective.prediction_steps + objective.skip_steps
        _require(
            objective.prediction_steps >= 1 and objective.num_negatives >= 1,
            "stack.objective needs at least one prediction step and one "
            "negative",
        )
        _require(
            reach < experiment.view.grid_side,
            "stack.objective.prediction_steps + skip_steps must be smaller "
            f"than the {experiment.view.grid_side} grid rows, received {reach}",
        )


def _check_training(experiment: Experiment) -> None:
    training = experiment.training
    for name in ("num_steps", "batch_size", "log_every", "checkpoint_every"):
        value = getattr(training, name)
        _require(value >= 1, f"training.{name} must be >= 1, received {value}")
    _require(training.learning_rate > 0, "training.learning_rate must be > 0")
    _require(
        0.0 <= experiment.data.holdout < 1.0, "data.holdout must be in [0, 1)"
    )
    _require(
        len(experiment.data.class_names) >= 2,
        "data.class_names must name at least two classes",
    )


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message + ".")
