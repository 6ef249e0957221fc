"""The chart of a task's results by depth, beside its controls."""

from gim_tf.inspection import plots
from gim_tf.inspection.tasks import Task


def probe_chart(task: Task) -> bytes:
    """Accuracy by depth, trained and untrained, one panel a result; PNG."""
    return plots.probe_accuracy(task.modules, task.controls)
