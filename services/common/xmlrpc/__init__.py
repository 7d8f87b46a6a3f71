"""XML-RPC messages to bytes and back, as the OpenNebula daemon's library reads and writes them."""

from services.common.xmlrpc.decoder import CALL_LIMITS, RESPONSE_LIMITS, decode_call, decode_response
from services.common.xmlrpc.elements import Limits
from services.common.xmlrpc.encoder import encode_call, encode_fault, encode_response, encode_text
from services.common.xmlrpc.values import I8, Call, EncodedParts, EncodedText, Fault, FaultCode, Malformed, Value

__all__ = [
    "CALL_LIMITS",
    "I8",
    "RESPONSE_LIMITS",
    "Call",
    "EncodedParts",
    "EncodedText",
    "Fault",
    "FaultCode",
    "Limits",
    "Malformed",
    "Value",
    "decode_call",
    "decode_response",
    "encode_call",
    "encode_fault",
    "encode_response",
    "encode_text",
]
