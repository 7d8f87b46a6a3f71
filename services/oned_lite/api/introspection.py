"""system.*: what the daemon's XML-RPC library offers by itself, without a session.

Errors here are XML-RPC faults. `system.multicall` is not a handler: it stands for several calls, each of which goes the
way of a call of its own; `multicall` takes it apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from services.common.xmlrpc import I8, Fault, FaultCode, Value

from .method import Method

MULTICALL = "system.multicall"
CALLS_MAX = 1000
_TYPE_NAMES: Mapping[type, str] = {int: "int", object: "int", I8: "i8", bool: "boolean", str: "string", list: "array"}
_TYPE_NUMBERS: Mapping[type, int] = {
    int: 0,
    bool: 1,
    float: 2,
    str: 4,
    bytes: 5,
    list: 6,
    dict: 7,
    type(None): 9,
    I8: 10,
}
_TYPES_IN_MESSAGES: Mapping[type, str] = {
    int: "INT",
    bool: "BOOL",
    float: "DOUBLE",
    bytes: "BASE64",
    list: "ARRAY",
    dict: "STRUCT",
    type(None): "NIL",
    I8: "I8",
}
_HELP = {
    "system.listMethods": "Return an array of all available XML-RPC methods on this server.",
    "system.methodExist": "Tell whether a method by a specified name exists on this server",
    "system.methodHelp": "Given the name of a method, return a help string.",
    "system.methodSignature": "Given the name of a method, return an array of legal signatures.",
    MULTICALL: "Process an array of calls, and return an array of results.",
    "system.shutdown": "Shut down the server.  Return code is always zero.",
    "system.capabilities": "Return the capabilities of XML-RPC server",
    "system.getCapabilities": "Return the list of standard capabilities of XML-RPC server",
}
_SIGNATURES = {
    "system.listMethods": [["array"]],
    "system.methodExist": [["boolean", "string"]],
    "system.methodHelp": [["string", "string"]],
    "system.methodSignature": [["array", "string"]],
    MULTICALL: [["array", "array"]],
    "system.shutdown": [["int", "string"]],
    "system.capabilities": [["struct"]],
    "system.getCapabilities": [["struct"]],
}


class Introspection:
    """Answers system.* calls about `methods`."""

    def __init__(self, methods: Mapping[str, Method]) -> None:
        self._methods = methods
        self._handlers: dict[str, Callable[[Sequence[Value]], Value]] = {
            "system.listMethods": self._list_methods,
            "system.methodExist": lambda arguments: self._knows(_name(arguments)),
            "system.methodHelp": self._help,
            "system.methodSignature": self._signature,
            "system.shutdown": _shutdown,
            "system.capabilities": _capabilities,
            "system.getCapabilities": _standard_capabilities,
        }

    def serves(self, method: str) -> bool:
        return method in self._handlers

    def call(self, method: str, arguments: Sequence[Value]) -> Value:
        """Raises Fault."""
        return self._handlers[method](arguments)

    def _knows(self, name: str) -> bool:
        return name in self._methods or name in _SIGNATURES

    def _list_methods(self, arguments: Sequence[Value]) -> Value:
        if arguments:
            raise Fault(
                FaultCode.INDEX,
                f"Format string requests exactly 0 items from array, but array has {len(arguments)} items."
                "  (A '*' at the end would avoid this failure)",
            )
        return [*_SIGNATURES, *sorted(self._methods)]

    def _help(self, arguments: Sequence[Value]) -> Value:
        name = _name(arguments)
        method = self._methods.get(name)
        if method is not None:
            return (method.handler.__doc__ or "").strip().partition("\n")[0]
        if name not in _HELP:
            raise _no_method(name)
        return _HELP[name]

    def _signature(self, arguments: Sequence[Value]) -> Value:
        name = _name(arguments)
        method = self._methods.get(name)
        if method is None:
            if name not in _SIGNATURES:
                raise _no_method(name)
            return [list(one) for one in _SIGNATURES[name]]
        shown = (_TYPE_NAMES[one.type] for one in method.parameters if not (one.optional and one.type is bool))
        return [["array", "string", *shown]]  # oned's published signatures leave optional switches out


def multicall(arguments: Sequence[Value]) -> list[tuple[str, list[Value]] | Fault]:
    """The calls of a system.multicall, each a method and its arguments, or the fault that it is answered with.

    Raises Fault where the whole call is refused.
    """
    if len(arguments) != 1:
        raise Fault(FaultCode.INDEX, f"system.multicall takes one parameter.  You supplied {len(arguments)}")
    calls = arguments[0]
    if not isinstance(calls, list):
        raise Fault(
            FaultCode.TYPE,
            "system.multicall's parameter should be an array, each element describing one RPC."
            f"  But it is type {_TYPE_NUMBERS.get(type(calls), 3)} instead.",
        )
    if len(calls) > CALLS_MAX:
        raise Fault(FaultCode.LIMIT_EXCEEDED, f"system.multicall takes at most {CALLS_MAX} calls")
    return [_one_call(call) for call in calls]


def _one_call(call: Value) -> tuple[str, list[Value]] | Fault:
    if not isinstance(call, dict):
        return Fault(FaultCode.TYPE, "A call of system.multicall must be a structure")
    method, arguments = call.get("methodName"), call.get("params")
    if not isinstance(method, str) or not isinstance(arguments, list):
        return Fault(FaultCode.INDEX, "A call of system.multicall needs methodName, a string, and params, an array")
    if method == MULTICALL:
        raise Fault(FaultCode.REQUEST_REFUSED, "Recursive system.multicall forbidden")
    return method, arguments


def _name(arguments: Sequence[Value]) -> str:
    if len(arguments) != 1:
        raise Fault(FaultCode.INDEX, f"Invalid parameter list.  There must be one, you supplied {len(arguments)}")
    if not isinstance(arguments[0], str):
        supplied = _TYPES_IN_MESSAGES.get(type(arguments[0]), "DATETIME")
        raise Fault(
            FaultCode.TYPE,
            f"Invalid parameter list.  Value of type {supplied} supplied where string type was expected.",
        )
    return arguments[0]


def _no_method(name: str) -> Fault:
    return Fault(FaultCode.NO_SUCH_METHOD, f"Method '{name}' does not exist")


def _shutdown(_arguments: Sequence[Value]) -> Value:
    raise Fault(0, "This server program is not capable of shutting down")


def _no_parameters(arguments: Sequence[Value]) -> None:
    if arguments:
        raise Fault(FaultCode.INDEX, f"There are no parameters.  You supplied {len(arguments)}")


def _capabilities(arguments: Sequence[Value]) -> Value:
    _no_parameters(arguments)
    return {"facility": "onelite", "protocol_version": 2}


def _standard_capabilities(arguments: Sequence[Value]) -> Value:
    _no_parameters(arguments)
    return {"introspect": {"specUrl": "http://xmlrpc-c.sourceforge.net/xmlrpc-c/introspection.html", "specVersion": 1}}
