"""What may not be written in clear: flags and texts that look like secrets.

TFX stores Beam's flags, every parameter of a component and the compiled
pipeline as they are, so what looks like a secret is refused before that.
"""

import re
from collections.abc import Iterable

from gim_tf.errors import ConfigError

_NAME = re.compile(
    r"secret|passw|token|credential|private|api[-_]?key|connection[-_]?string"
    r"|(^|[-_])sas([-_]|$)",
    re.I,
)

# A URL with a user and a password.
_URL = re.compile(r"://[^/\s:@]*:[^/\s@]+@")

# Keys that are known by their form, and what each of them is.
_KEYS = {
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY"),
    "a service account's key": re.compile(r'"private_key(_id)?\\*"\s*:'),
    "a Google API key": re.compile(r"\bAIza[0-9A-Za-z_-]{35}"),
    "a Google access token": re.compile(r"\bya29\.[0-9A-Za-z_-]{20}"),
    "an AWS access key": re.compile(r"\bAKIA[0-9A-Z]{16}\b"),
    "a GitHub token": re.compile(r"\bgh[pousr]_[0-9A-Za-z]{30}"),
    "a URL with a password": _URL,
}


def check_flag(flag: str) -> None:
    """Raises `ConfigError` for a flag that looks like a secret.

    The message does not repeat its value.
    """
    name = flag.partition("=")[0]
    if _URL.search(flag):
        subject = "A Beam flag holds a URL with a password"
    elif _NAME.search(name):
        shown = f" {name}" if name.startswith("-") else ""
        subject = f"Beam flag{shown} looks like a secret"
    else:
        return
    raise ConfigError(
        f"{subject} and would be stored in clear; use Application Default "
        "Credentials instead."
    )


def check_texts(texts: Iterable[str]) -> None:
    """Raises `ConfigError` for a text that holds a key of a known form.

    The message does not repeat it.
    """
    for text in texts:
        for kind, form in _KEYS.items():
            if form.search(text):
                raise ConfigError(
                    f"The pipeline would hold {kind} and be stored in clear. "
                    "Take it out of the settings; use Application Default "
                    "Credentials instead."
                )
