"""Files with a state_dict: .npz and .safetensors, never a pickle."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gim_tf.errors import WeightsError
from gim_tf.interop.exchange import unwrapped

# Their code pickles its checkpoints as .ckpt; a pickle can run any code.
_PICKLES = {".pt", ".pth", ".ckpt", ".pkl", ".bin"}
# Names in the state_dict of a single encoder with its loss.
_RELATIVE = re.compile(r"model\.(Conv1|layer \d+)\.|loss\.")


def read_weights(files: Sequence[str | Path]) -> dict[str, np.ndarray]:
    """All arrays of some files.

    Args:
      files: .npz or .safetensors; one of a whole model, or one of each
        module's encoder, first to last: names that begin at the module
        (`model.Conv1.weight`) get the module's prefix.

    Raises:
      WeightsError: a file is missing, damaged, or of another kind; or two
        files hold an array of the same name.
    """
    arrays: dict[str, np.ndarray] = {}
    for index, file in enumerate(files):
        found = unwrapped(_read(Path(file)))
        if all(_RELATIVE.match(name) for name in found):
            found = {f"encoder.{index}.{n}": a for n, a in found.items()}
        for name in sorted(arrays.keys() & found.keys()):
            raise WeightsError(
                f"{file} and a file before it both hold {name}; give one file "
                "of a whole model, or one a module."
            )
        arrays.update(found)
    return arrays


def _read(path: Path) -> dict[str, np.ndarray]:
    suffix = path.suffix.lower()
    if suffix in _PICKLES:
        raise WeightsError(_conversion(path))
    readers = {".npz": _read_npz, ".safetensors": _read_safetensors}
    if suffix not in readers:
        raise WeightsError(
            f"{path} must be a .npz or .safetensors file, received "
            f"{suffix or 'no suffix'}."
        )
    try:
        arrays = readers[suffix](path)
    except OSError as error:
        reason = error.strerror or error
        raise WeightsError(f"Cannot read {path}: {reason}.") from error
    if not arrays:
        raise WeightsError(f"{path} holds no arrays.")
    return arrays


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        archive = np.load(path, allow_pickle=False)
        if isinstance(archive, np.ndarray):
            raise ValueError("one array without a name")
        with archive:
            return {name: archive[name] for name in archive.files}
    except OSError:
        raise
    except Exception as error:  # NumPy and zipfile raise all kinds on damage
        raise WeightsError(
            f"{path} is damaged, or no .npz of plain arrays: "
            f"{(str(error) or type(error).__name__).splitlines()[0]}."
        ) from error


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    try:
        import safetensors
        import safetensors.numpy
    except ImportError as error:
        raise WeightsError(
            f"{path} needs the package safetensors: pip install safetensors."
        ) from error
    try:
        arrays = safetensors.numpy.load_file(path)
    except (safetensors.SafetensorError, TypeError, KeyError) as error:
        raise WeightsError(
            f"{path} is damaged, or holds what NumPy cannot: {error}."
        ) from error
    # To NumPy this one is no float: it comes from an extension.
    return {
        name: array.astype(np.float32)
        if array.dtype.name == "bfloat16"
        else array
        for name, array in arrays.items()
    }


def _conversion(path: Path) -> str:
    target = path.with_suffix(".npz").name
    return (
        f"{path} is a pickle, which is not read here. Where PyTorch is: "
        'python -c "import numpy, torch; '
        f"s = torch.load({str(path)!r}, map_location='cpu', weights_only=True);"
        f" numpy.savez({target!r}, **{{k: v.numpy() for k, v in s.items()}})"
        f'"; then give {target}.'
    )
