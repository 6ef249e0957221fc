"""The job `neurons`: what excites single neurons most, as a picture.

Löwe et al. (2019) show it for modules 1 to 3, four patches a neuron.
"""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow as tf

from gim_tf import build, config
from gim_tf.config import (
    Conv1DConfig,
    Conv2DConfig,
    Experiment,
    PatchViewConfig,
    WindowViewConfig,
)
from gim_tf.data import views
from gim_tf.data.input_pipeline import evaluation_batches, evaluation_sequences
from gim_tf.data.records import Record, record_files, records_at
from gim_tf.data.shards import disk_errors
from gim_tf.errors import ConfigError
from gim_tf.export.manifest import read_manifest
from gim_tf.export.saved_model import load_encoder, signature_function
from gim_tf.export.sequences import frames_only
from gim_tf.inspection.curves import module_number
from gim_tf.inspection.neuron_pictures import (
    PatchCell,
    SequenceCell,
    patch_sheet,
    sequence_sheet,
)
from gim_tf.inspection.neurons import Hit, Neuron, Watch, as_dict
from gim_tf.paths import local_path

K = 4  # the paper's figure
_ENCODE_BATCH = 200


class NeuronFigure(NamedTuple):
    """Neurons and what excites them.

    Attributes:
      png: the picture.
      neurons: of each neuron "module", "neuron", "mean" and "deviation" over
        all positions, and "hits": "activation", "example" (its number in the
        split), "id", "label", "row", "column"; of patches also "pixels", of
        sequences "samples", what is read there: see `figure`.
    """

    png: bytes
    neurons: list[dict[str, Any]]


class FrameSpan(NamedTuple):
    """What a module's frames at the common rate read, in samples.

    Frame j reads samples from `start + j hop` on, as many as `length`.

    Attributes:
      start: of frame 0; below 0 where it reads padding.
      length: of what the convolutions read, over all averaged frames.
      hop: between two frames.
    """

    start: int
    length: int
    hop: int


def neurons(
    model_dir: str | Path,
    records: str | Path,
    output: str | Path,
    *,
    split: str | None = None,
    k: int = K,
    per_module: int | None = None,
    indices: Sequence[int] = (),
    one_per_example: bool = True,
) -> NeuronFigure:
    """Encodes a split once, and writes the picture and what is in it.

    Args:
      model_dir: an exported encoder, with or without heads.
      records: directory that ingest wrote.
      output: PNG file; the same name in .json has what is in the picture.
      split: None: the experiment's test split.
      k: positions of each neuron.
      per_module: see `default_per_module`.
      indices: channels to show of every module, instead of a choice.
      one_per_example: at most one position of each example.

    Raises:
      ConfigError: no such neurons.
      DataError: no records, or the output cannot be written.
      ExportError: the export is missing or altered.
    """
    encoder = load_encoder(model_dir)
    experiment = config.from_dict(read_manifest(model_dir)["experiment"])
    split = split or experiment.data.test_split
    files = record_files(records, split)
    watch = Watch(k, one_per_example=one_per_example)
    watch_all(experiment, encoder, files, watch)
    found = figure(
        experiment,
        watch,
        files,
        split=split,
        per_module=per_module,
        indices=indices,
    )
    output = local_path(output)
    with disk_errors(output):
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_bytes(found.png)
        text = json.dumps(found.neurons, indent=2) + "\n"
        output.with_suffix(".json").write_text(text)
    return found


def watch_all(
    experiment: Experiment, encoder: Any, files: Sequence[str], watch: Watch
) -> None:
    """Shows every example of some files to a watch, through an export."""
    for first, grids in _encoded(experiment, encoder, files):
        watch(first, grids)


def figure(
    experiment: Experiment,
    watch: Watch,
    files: Sequence[str],
    *,
    split: str,
    per_module: int | None = None,
    indices: Sequence[int] = (),
) -> NeuronFigure:
    """The picture of what a watch has seen.

    A patch's "pixels" are [top, left, bottom, right] in the picture as it was
    scaled for the network; beyond its sides lies the black border. A frame's
    "samples" are [start, stop] of what its convolutions read.

    Args:
      experiment: decides what a position reads.
      watch: has seen every example of the files, in their order.
      files: the records; those of the hits are read again.
      split: their name.
      per_module: see `default_per_module`.
      indices: see `neurons`.

    Raises:
      ConfigError: no such neurons.
    """
    if per_module is None:
        per_module = default_per_module(experiment)
    found = watch.neurons(per_module, indices)
    positions = {hit.example for neuron in found for hit in neuron.hits}
    records = records_at(files, positions)
    view = experiment.view
    if isinstance(view, PatchViewConfig):
        return _of_patches(experiment, view, found, records, split)
    return _of_sequences(experiment, view, found, records, split)


def default_per_module(experiment: Experiment) -> int:
    """Neurons of each module: 4 of patches, 2 of the deeper sequences."""
    return 4 if isinstance(experiment.view, PatchViewConfig) else 2


def frame_spans(experiment: Experiment) -> list[FrameSpan]:
    """What frames of `build.build_frames` read, one entry a module.

    Raises:
      ConfigError: the encoder has no frames.
    """
    encoder = experiment.stack.encoder
    if not isinstance(encoder, Conv1DConfig):
        raise ConfigError(f"An encoder of kind {encoder.kind!r} has no frames.")
    hop, _ = build.frame_grid(experiment)
    depths = itertools.accumulate(experiment.probed_sizes)
    spans = []
    for blocks, (ratio, shift) in zip(
        depths, build.frame_groups(experiment), strict=True
    ):
        own, field = encoder.hop(blocks), encoder.field(blocks)
        start = encoder.centre(blocks) - shift * own - (field - 1) / 2
        length = (ratio - 1) * own + field
        spans.append(FrameSpan(round(start), length, hop))
    return spans


class PatchSpan(NamedTuple):
    """What a position of a module's grid reads, in pixels of the view.

    Row i reads `side` rows from `start + i hop` on; columns likewise.

    Attributes:
      start: of position 0; below 0 where it reads padding.
      hop: between two positions.
      side: of what is read.
    """

    start: int
    hop: int
    side: int


def patch_spans(experiment: Experiment) -> list[PatchSpan]:
    """What positions of the grid read, one entry a module.

    Raises:
      ConfigError: the view has no patches.
    """
    view, encoder = experiment.view, experiment.stack.encoder
    if not isinstance(view, PatchViewConfig):
        raise ConfigError(f"A view of kind {view.kind!r} has no patches.")
    spans = []
    for blocks in itertools.accumulate(experiment.probed_sizes):
        start, hop, field = (
            encoder.cells(blocks)
            if isinstance(encoder, Conv2DConfig)
            else (0, 1, 1)  # each patch by itself
        )
        stride = view.patch_stride
        side = (field - 1) * stride + view.patch_size
        spans.append(PatchSpan(start * stride, hop * stride, side))
    return spans


def patch_box(
    view: PatchViewConfig, span: PatchSpan, row: int, column: int
) -> tuple[int, ...]:
    """(top, left, bottom, right) of what is read, in pixels of `view.size`.

    Of the evaluation view, the centre of the picture with its border.
    """
    border = (view.pad_to - view.size) // 2
    start = (view.pad_to - view.crop_size) // 2 - border
    top, left = (start + span.start + i * span.hop for i in (row, column))
    return top, left, top + span.side, left + span.side


def _encoded(
    experiment: Experiment, encoder: Any, files: Sequence[str]
) -> Iterator[tuple[int, Mapping[str, tf.Tensor]]]:
    """(number of the first example, grids) of batch after batch."""
    decode = build.build_decode_one(experiment)
    if isinstance(experiment.view, PatchViewConfig):
        encode = signature_function(encoder, "grid")
        batches = evaluation_batches(files, decode, _ENCODE_BATCH)
        for index, (examples, _) in enumerate(batches):
            yield index * _ENCODE_BATCH, encode(examples)
        return
    encode = signature_function(encoder, "tensor")
    sequences = evaluation_sequences(files, decode)
    for index, (samples, *_) in enumerate(sequences):
        yield index, frames_only(encode(samples[tf.newaxis]))


def _of_patches(
    experiment: Experiment,
    view: PatchViewConfig,
    found: Sequence[Neuron],
    records: Mapping[int, Record],
    split: str,
) -> NeuronFigure:
    decode = build.build_decode_one(experiment)
    seen = {
        position: views.denormalise(
            views.evaluation_view(decode(record.encoded), view), view
        ).numpy()
        for position, record in records.items()
    }
    names = experiment.data.class_names

    spans = patch_spans(experiment)

    def span_of(neuron: Neuron) -> PatchSpan:
        return spans[module_number(neuron.module) - 1]

    def cell(neuron: Neuron, hit: Hit) -> PatchCell:
        label, span = records[hit.example].label, span_of(neuron)
        return PatchCell(
            view=seen[hit.example],
            top=span.start + hit.row * span.hop,
            left=span.start + hit.column * span.hop,
            side=span.side,
            caption=names[label] if 0 <= label < len(names) else "",
        )

    png = patch_sheet(
        found,
        [[cell(neuron, hit) for hit in neuron.hits] for neuron in found],
        split=split,
        notes=_notes(experiment, "it also sees the rows above"),
    )
    places = [
        [
            {"pixels": patch_box(view, span_of(neuron), hit.row, hit.column)}
            for hit in neuron.hits
        ]
        for neuron in found
    ]
    return NeuronFigure(png, _described(found, records, places))


def _of_sequences(
    experiment: Experiment,
    view: WindowViewConfig,
    found: Sequence[Neuron],
    records: Mapping[int, Record],
    split: str,
) -> NeuronFigure:
    decode = build.build_decode_one(experiment)
    heard = {
        position: decode(record.encoded).numpy()
        for position, record in records.items()
    }
    spans = frame_spans(experiment)

    def cell(neuron: Neuron, hit: Hit) -> SequenceCell:
        samples = heard[hit.example]
        span = spans[module_number(neuron.module) - 1]
        start = span.start + hit.row * span.hop
        return SequenceCell(
            samples=samples,
            labels=records[hit.example].frame_labels,
            start=max(start, 0),
            stop=min(start + span.length, len(samples)),
        )

    cells = [[cell(neuron, hit) for hit in neuron.hits] for neuron in found]
    png = sequence_sheet(
        found,
        cells,
        split=split,
        sample_rate=view.sample_rate,
        names=experiment.data.frame_names,
        notes=_notes(experiment, "it also hears all that is before"),
    )
    places = [[{"samples": [c.start, c.stop]} for c in row] for row in cells]
    return NeuronFigure(png, _described(found, records, places))


def _described(
    found: Sequence[Neuron],
    records: Mapping[int, Record],
    places: Sequence[Sequence[Mapping[str, Any]]],
) -> list[dict[str, Any]]:
    """The neurons for JSON, with what is known of each hit."""
    return [
        as_dict(
            neuron,
            [
                {
                    "id": records[hit.example].id,
                    "label": records[hit.example].label,
                    **place,
                }
                for hit, place in zip(neuron.hits, row, strict=True)
            ],
        )
        for neuron, row in zip(found, places, strict=True)
    ]


def _notes(experiment: Experiment, of_context: str) -> dict[str, str]:
    """By module: what it reads besides, where there is an autoregressor."""
    stack = experiment.stack
    if stack.representation != "context":
        return {}
    return {
        f"module_{index + 1}": of_context
        for index in range(stack.num_modules)
        if stack.has_autoregressor(index)
    }
