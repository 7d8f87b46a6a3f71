"""OpenNebula's template syntax: typed values, the text and the XML notation, and printers for both."""

from services.common.template.markup import cdata, escape
from services.common.template.reader import parse
from services.common.template.values import Template, TemplateError, Value, Vector

__all__ = ["Template", "TemplateError", "Value", "Vector", "cdata", "escape", "parse"]
