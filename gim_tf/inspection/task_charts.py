"""The chart of a task's results by depth, beside its controls."""

from gim_tf.inspection import plots
from gim_tf.inspection.plots import Panel
from gim_tf.inspection.tasks import Task


def probe_chart(task: Task) -> bytes:
    """Accuracy by depth, trained and untrained, one panel a result; PNG."""
    panels = [
        Panel(key, title, dict(task.known_controls(key)))
        for key, title in task.measured(task.words.results)
    ]
    return plots.accuracy_by_depth(task.modules, panels)
