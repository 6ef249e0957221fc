"""Self-contained HTML pages, and Markdown, from templates of this package.

A page needs no other file and no network: styles are inline, pictures and
sound are data URIs.
"""

import base64
from typing import Any

import jinja2

from gim_tf.inspection import style
from gim_tf.inspection.curves import as_float
from gim_tf.inspection.facts import number
from gim_tf.inspection.summary_table import percent


def render(template: str, **values: Any) -> str:
    """A template as text, to be saved as UTF-8; HTML is escaped.

    Args:
      template: name of a file in `templates/`.
      values: what it shows.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("gim_tf.inspection"),
        autoescape=jinja2.select_autoescape(),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = percent
    environment.filters["share"] = lambda value: percent(as_float(value))
    environment.filters["number"] = number
    environment.filters["data_uri"] = _data_uri
    environment.filters["colour"] = style.module_colour
    environment.filters["md"] = _markdown
    return environment.get_template(template).render(**values)


def _markdown(text: Any) -> str:
    """Text for a cell of a table or a line, with nothing that has a meaning."""
    line = " ".join(str(text).split()).replace("&", "&amp;")
    return line.replace("<", "&lt;").replace("|", "\\|")


def _data_uri(content: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64," + base64.b64encode(content).decode("ascii")
