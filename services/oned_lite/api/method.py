"""Methods as data: a name, typed parameters, and the handler that serves them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, get_type_hints

from services.common.xmlrpc import I8, Value
from services.oned_lite.model.errors import ParameterFault

from .pieces import Pieces

Handler = Callable[..., Value | Pieces]

_WRONG_TYPE = {
    int: "Parameter that is supposed to be integer is not",
    I8: "Parameter that is supposed to be 64-bit integer is not",
    str: "Parameter that is supposed to be a string is not",
    bool: "Parameter that is supposed to be boolean is not",
    list: "Parameter that is supposed to be an array is not",
}


FOR_ADMINS = frozenset({"decrypt"})
"""Parameters that oned reads last, and does not even look at when anybody else calls."""


def read_late(value: object) -> bool:
    """A parameter of `FOR_ADMINS`, whose type nobody has checked yet: what else is wrong with a call is told first.

    Raises ParameterFault.
    """
    if not isinstance(value, bool):
        raise ParameterFault(_WRONG_TYPE[bool])
    return value


@dataclass(frozen=True, slots=True)
class Parameter:
    """`type` is int, I8, str, bool or list, or object where anything will do; `default` only counts where `optional`."""

    name: str
    type: type
    optional: bool = False
    default: Value = None


@dataclass(frozen=True, slots=True)
class Method:
    """One row of the API.

    `leader_only`: a follower sends the call on to the leader; otherwise every server answers from its own tables.
    `in_disabled_zone`: served in a zone that is switched off. `hidden`: parameters never logged or given to hooks.
    `counts`: how many arguments may be given, where not every number between required and all is good.
    `reads`: changes nothing, so it may be asked twice (the leader_only ones among them too).
    """

    name: str
    handler: Handler
    parameters: tuple[Parameter, ...]
    leader_only: bool = True
    in_disabled_zone: bool = False
    hidden: frozenset[str] = frozenset()
    counts: frozenset[int] | None = None
    reads: bool = False

    def bind(self, arguments: Sequence[Value], *, is_admin: bool = True) -> list[Value]:
        """Checks types and fills in defaults. Arguments beyond the last parameter are ignored, as oned does, and so are
        those that it reads for administrators only.

        Raises ParameterFault.
        """
        given = min(len(arguments), len(self.parameters))
        if self.counts is not None and given not in self.counts:
            raise ParameterFault("Not enough parameters")
        bound: list[Value] = []
        for position, parameter in enumerate(self.parameters):
            if not is_admin and parameter.name in FOR_ADMINS:
                bound.append(parameter.default)
            elif position < len(arguments):
                late = parameter.name in FOR_ADMINS
                bound.append(arguments[position] if late else _checked(parameter, arguments[position]))
            elif parameter.optional:
                bound.append(parameter.default)
            else:
                raise ParameterFault("Not enough parameters")
        return bound


def _checked(parameter: Parameter, value: Value) -> Value:
    if parameter.type is not object and type(value) is not parameter.type:
        raise ParameterFault(_WRONG_TYPE[parameter.type])
    return value


class MethodTable:
    """The methods of one prefix, such as "one.template"; a handler's signature is its wire signature.

    The handler's first parameter is the `Call`; the annotations of the rest (int, I8, str, bool, list) are the types.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.methods: dict[str, Method] = {}

    def add(
        self,
        verb: str,
        *,
        leader_only: bool = True,
        in_disabled_zone: bool = False,
        hidden: Iterable[str] = (),
        counts: Iterable[int] | None = None,
        reads: bool = False,
    ) -> Callable[[Handler], Handler]:
        """Registers the decorated handler as `prefix.verb`."""

        def register(handler: Handler) -> Handler:
            name = f"{self.prefix}.{verb}"
            self.methods[name] = Method(
                name,
                handler,
                _parameters(handler),
                leader_only=leader_only,
                in_disabled_zone=in_disabled_zone,
                hidden=frozenset(hidden),
                counts=None if counts is None else frozenset(counts),
                reads=reads,
            )
            return handler

        return register

    def read(self, verb: str, **options: Any) -> Callable[[Handler], Handler]:
        """A method that every server answers by itself, in a disabled zone too (info and pool calls)."""
        return self.add(verb, leader_only=False, in_disabled_zone=True, reads=True, **options)


def _parameters(handler: Handler) -> tuple[Parameter, ...]:
    hints = get_type_hints(handler)
    found = list(inspect.signature(handler).parameters.values())[1:]
    return tuple(
        Parameter(
            parameter.name,
            getattr(hints[parameter.name], "__origin__", hints[parameter.name]),
            optional=parameter.default is not inspect.Parameter.empty,
            default=None if parameter.default is inspect.Parameter.empty else parameter.default,
        )
        for parameter in found
    )


def merge(tables: Iterable[MethodTable]) -> dict[str, Method]:
    """All methods by full name. Raises ValueError where two tables claim one name."""
    merged: dict[str, Method] = {}
    for table in tables:
        for name, method in table.methods.items():
            if name in merged:
                raise ValueError(f"{name} is defined twice")
            merged[name] = method
    return merged
