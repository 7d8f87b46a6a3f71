"""Text as it may stand in XML. Every XML body of the control plane is put together with these two."""


def cdata(text: str) -> str:
    """`text` as a CDATA section, split in two where it contains the mark that would end one."""
    if "]]>" in text:
        text = text.replace("]]>", "]]]]><![CDATA[>")
    return f"<![CDATA[{text}]]>"


def escape(text: str) -> str:
    """`text` as character data of an element."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
