"""Reads and writes a message in protobuf text format."""

from __future__ import annotations

from google.protobuf import text_format
from google.protobuf.message import Message

from configs.schema.descriptors import ROOT_MESSAGE, message_class, schema_pool
from configs.schema.diagnosis import diagnose
from configs.schema.problem import ConfigError


def parse_text(text: str, where: str, message_name: str = ROOT_MESSAGE) -> Message:
    """Parses text format strictly: unknown fields, wrong types and fields given twice are errors.

    Args:
        text: The config.
        where: What to call it in errors, such as its file name.
        message_name: The type to read.

    Raises:
        ConfigError: A line for each problem found: `where:line:column: full.path: what is wrong`.
    """
    message = message_class(message_name)()
    try:
        text_format.Parse(text, message, descriptor_pool=schema_pool())
    except text_format.ParseError as error:
        raise ConfigError(diagnose(error, text, where, message.DESCRIPTOR)) from None
    return message


def format_text(message: Message) -> str:
    """Writes a message in text format: what is set, in the order of field numbers, unicode readable."""
    return text_format.MessageToString(message, as_utf8=True, descriptor_pool=schema_pool())
