"""Rewriting of a config's text: what has to change, made where it stands, and what is left that cannot be done."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from google.protobuf import text_format

from configs.filling.config_text import ConfigText
from configs.migrating.changes import Change, on_one_line, written
from configs.migrating.checkpoints import checkpoint_changes
from configs.migrating.replacements import REPLACEMENTS, longer_side, network_after, network_changes
from configs.schema import pipeline_file
from configs.schema.descriptors import ROOT_MESSAGE, message_class, schema_pool, short_name
from configs.schema.diagnosis import FORMER_FIELDS
from configs.schema.mentions import find_mentions
from configs.schema.problem import ConfigError, Problem
from configs.settings.evaluation import OLDER_METRICS_SETS
from configs.settings.loading import LoadedConfig, examine
from configs.settings.pipeline import read_pipeline
from data_prep.formats.text_tokens import tokens_of

# Refused fields without which a model is trained on the same boxes: outputs of other programs, and quantization, which
# is done after training here.
_DROPPED = (
    "graph_rewriter",
    "model.ssd.return_raw_detections_during_predict",
    "model.ssd.feature_extractor.replace_preprocessor_with_placeholder",
    "model.faster_rcnn.return_raw_detections_during_predict",
    "model.faster_rcnn.output_final_box_features",
    "model.faster_rcnn.output_final_box_rpn_features",
)


@dataclasses.dataclass(frozen=True)
class Migrated:
    """A rewritten config.

    Attributes:
        text: The new one.
        changes: What is other than it was, in the order of the model, then the rest.
        loaded: The new config, with the problems that are left.
    """

    text: str
    changes: tuple[Change, ...]
    loaded: LoadedConfig

    @property
    def left(self) -> tuple[Problem, ...]:
        """What the new config says and training cannot honour."""
        return (*self.loaded.problems, *self.loaded.training_problems)

    @property
    def to_look_at(self) -> list[str]:
        """Lines on fields that may mean something else after the changes."""
        if not self.changes:
            return []
        config = self.loaded.config.train_config
        return [
            f"train_config.{name}: its patterns are looked for in names of variables, and TensorFlow 2's are others"
            for name in ("freeze_variables", "update_trainable_variables")
            if getattr(config, name)
        ]


def migrate_text(text: str, where: str, network: str = "") -> Migrated:
    """Rewrites a config of TensorFlow 1, with comments that say what was there.

    Args:
        text: In protobuf text format.
        where: What to call it in errors.
        network: What to take in place of a network that is not here; empty: the nearest.

    Raises:
        ConfigError: The text cannot be read as a pipeline config, or has no place for `network`.
    """
    ends_in_crlf = "\r\n" in text
    text = text.replace("\r\n", "\n")
    known, changes = _without_former_fields(text, where)
    config = pipeline_file.parse_pipeline_config(known, where)
    _check_preferred(config, network, where)
    planned = list(planned_changes(config, network))
    edited = _edited(known, planned)
    after = pipeline_file.parse_pipeline_config(edited, f"{where}, migrated")
    new = edited.replace("\n", "\r\n") if ends_in_crlf else edited
    return Migrated(new, (*changes, *planned), examine(after, where))


def planned_changes(config: Any, preferred: str = "") -> Iterator[Change]:
    """Yields all that has to change in a config; nothing once it is done.

    Args:
        config: A `TrainEvalPipelineConfig`; left as it is.
        preferred: What to take in place of a network that is not here; empty: the nearest.
    """
    changes = list(network_changes(config, preferred))
    yield from changes
    replaced = tuple(f"{change.path}." for change in changes)
    for problem in read_pipeline(config).problems:
        if problem.path in _DROPPED and not problem.path.startswith(replaced):
            value = on_one_line(_value_at(config, problem.path))
            yield Change(problem.path, None, value, problem.reason)
    kind = config.model.WhichOneof("model")
    if config.HasField("train_config") and kind in REPLACEMENTS:
        width = config.model.ssd.feature_extractor.depth_multiplier if kind == "ssd" else 1.0
        is_replaced = "model.ssd.feature_extractor." in replaced
        network = network_after(config, preferred)
        yield from checkpoint_changes(config, network, longer_side(config), 1.0 if is_replaced else width)
    if any(name in OLDER_METRICS_SETS for name in config.eval_config.metrics_set):
        names = list(config.eval_config.metrics_set)
        new = [OLDER_METRICS_SETS.get(name, name) for name in names]
        reason = "present names of the metrics"
        yield Change("eval_config.metrics_set", _listed(new), _listed(names), reason)


def _check_preferred(config: Any, preferred: str, where: str) -> None:
    """Checks that a network that is asked for can take the place of the config's.

    Raises:
        ConfigError: It is none of the config's model, or the config's is here already.
    """
    if not preferred:
        return
    kind = config.model.WhichOneof("model")
    if preferred not in REPLACEMENTS.get(kind, ()):
        choice = ", ".join(REPLACEMENTS.get(kind, ())) or "none"
        raise ConfigError(f"{where}: {preferred} is none for model.{kind}, for which there are {choice}")
    if network_after(config, preferred) != preferred:
        given = getattr(config.model, kind).feature_extractor.type
        raise ConfigError(f"{where}: {given} needs no replacement; leave {preferred} out")


def _without_former_fields(text: str, where: str) -> tuple[str, list[Change]]:
    """The text without fields that the schema once had, and what was taken out."""
    root = message_class(ROOT_MESSAGE)
    scan = find_mentions(text, root.DESCRIPTOR)
    former = [
        mention
        for mention in scan.mentions
        if mention.parent is not None and (short_name(mention.parent), mention.name) in FORMER_FIELDS
    ]
    if not former:
        return text, []
    try:  # Only a text that is sound but for unknown fields can be edited.
        text_format.Parse(text, root(), allow_unknown_field=True, descriptor_pool=schema_pool())
    except text_format.ParseError:
        pipeline_file.parse_pipeline_config(text, where)
    values = {(token.line, token.column): token.text for token in tokens_of(text)}
    changes = []
    for mention in former:
        was = next((values[place] for place, owner in scan.values.items() if owner is mention), "set")
        reason = FORMER_FIELDS[short_name(mention.parent), mention.name] if mention.parent is not None else ""
        changes.append(Change(mention.path, None, was, reason.partition("; ")[0]))
    return _edited(text, changes), changes


def _edited(text: str, changes: Sequence[Change]) -> str:
    editing = ConfigText(text)
    for change in changes:
        if change.value is None:
            editing.delete(change.path, change.comment)
        else:
            editing.set(change.path, change.value, change.comment)
    return editing.edited()


def _value_at(message: Any, path: str) -> Any:
    for name in path.split("."):
        message = getattr(message, name)
    return message


def _listed(names: Sequence[str]) -> str:
    return f"[{', '.join(map(written, names))}]" if len(names) > 1 else written(names[0])
