"""Predicts archives of any size: an Apache Beam pipeline, on this machine or on a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from data_prep.runtime.command_line import (
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_TOO_MANY_REJECTED,
    ArgumentParser,
    UsageError,
    UserError,
    run_command,
)
from data_prep.runtime.missing_packages import how_to_install
from serving.client_library.client_flags import add_min_score_flag, min_score_of
from serving.folders.detector_choice import (
    WRITTEN_MIN_SCORE,
    add_detector_flags,
    check_detector_flags,
    find_label_map,
)

DESCRIPTION = """Predicts the images of an archive with Apache Beam's RunInference.

Needs requirements-beam.txt. Flags that are not listed here go to Beam: --runner, --direct_num_workers, --project, ...
What is not on this machine's disk is read and written as Beam knows it (gs://, s3://, hdfs://). A SavedModel's folder
must be there on each worker, as in the workers' container image; a server needs nothing on them but its address."""
EXAMPLE = """  python -m serving.beam_predict --input 'photos/*.jpg' --saved_model_dir exported/saved_model \\
      --output_prefix out/run1
  python -m serving.beam_predict --input_list images.txt --server detector:8500 --model_name furniture \\
      --label_map_path label_map.pbtxt --output_prefix gs://bucket/run1 --runner DataflowRunner --project my-project"""


def build_parser() -> ArgumentParser:
    """Returns the command's parser."""
    parser = ArgumentParser(description=DESCRIPTION, example=EXAMPLE)
    parser.add_argument("--input", metavar="PATTERN", help="images, such as gs://bucket/photos/**.jpg")
    parser.add_argument("--input_list", metavar="FILE", help="a text file with the path of an image on each line")
    parser.add_argument(
        "--output_prefix", required=True, help="of PREFIX-predictions-*.jsonl, -detections-*.csv and -failures-*.jsonl"
    )
    add_min_score_flag(parser, "weaker detections are not written", WRITTEN_MIN_SCORE)
    parser.add_argument("--max_failures", type=int, default=0, help="with more images failed, the exit code is 3")
    add_detector_flags(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the pipeline and waits for its end; returns the exit code."""
    arguments, for_beam = build_parser().parse_known_args(argv)
    if (arguments.input is None) == (arguments.input_list is None):
        raise UsageError("give either --input or --input_list")
    check_detector_flags(arguments)
    label_map = find_label_map(arguments)
    try:
        import apache_beam as beam
    except ImportError as error:
        raise UserError(f"Apache Beam is not installed ({error}); {how_to_install('beam')}") from error
    from apache_beam.io import fileio
    from apache_beam.io.filesystem import BeamIOError
    from apache_beam.options.pipeline_options import PipelineOptions

    from serving.folders.beam_pipeline import DetectorHandler, build_pipeline, leave_mistakes_to_the_command

    _check_is_there(arguments.input or arguments.input_list)
    pipeline = beam.Pipeline(options=PipelineOptions(list(for_beam)))
    if arguments.input is not None:
        paths = pipeline | fileio.MatchFiles(arguments.input) | beam.Map(lambda file: file.path)
    else:
        paths = pipeline | beam.io.ReadFromText(arguments.input_list) | "not empty" >> beam.Filter(bool)
    min_score = min_score_of(arguments, WRITTEN_MIN_SCORE)
    build_pipeline(paths, DetectorHandler(arguments, label_map, min_score), arguments.output_prefix)
    leave_mistakes_to_the_command()
    try:
        result = pipeline.run()
        result.wait_until_finish()
    except UserError as error:
        raise UserError(_last_line(error)) from error
    except (BeamIOError, RuntimeError) as error:
        raise UserError(f"the pipeline failed: {_last_line(error)}") from error
    return _report(result, arguments.output_prefix, arguments.max_failures)


def _check_is_there(pattern: str) -> None:
    from apache_beam.io.filesystem import BeamIOError
    from apache_beam.io.filesystems import FileSystems

    try:
        found = FileSystems.match([pattern], limits=[1])[0].metadata_list
    except (BeamIOError, ValueError) as error:
        raise UsageError(f"{pattern}: {error}") from error
    if not found:
        raise UsageError(f"no file is called {pattern}")


def _report(result: Any, output_prefix: str, max_failures: int) -> int:
    from apache_beam.metrics.metric import MetricsFilter

    from serving.folders.beam_pipeline import ANSWERED, DETECTIONS, FAILED, METRICS

    counters = result.metrics().query(MetricsFilter().with_namespace(METRICS))["counters"]
    counts = {counter.key.metric.name: counter.committed or counter.attempted for counter in counters}
    answered, failed = counts.get(ANSWERED, 0), counts.get(FAILED, 0)
    print(f"{answered} images answered, {counts.get(DETECTIONS, 0)} detections: {output_prefix}-predictions-*.jsonl")
    print(f"{failed} rejected" + (f"; see {output_prefix}-failures-*.jsonl" if failed else ""))
    if not answered:
        return EXIT_FAILED
    return EXIT_TOO_MANY_REJECTED if failed > max_failures else EXIT_DONE


def _last_line(error: BaseException) -> str:
    """Returns what went wrong, without the name of the pipeline's stage that Beam adds."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].partition(" [while running ")[0].strip() if lines else type(error).__name__


if __name__ == "__main__":
    run_command(main)
