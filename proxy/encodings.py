"""Client encodings: which ones a text can be read in without misreading its quotes."""

from __future__ import annotations

from typing import Final

from appliance.errors import ProtocolError

LONGEST_NAME: Final = 63  # bytes: what is longer the target cuts off there

# PostgreSQL's names (upper case, without punctuation) -> Python's. Encodings whose second byte can
# be a quote or a backslash (SJIS, BIG5, GBK, GB18030, UHC, JOHAB) are left out on purpose: a text
# in them lexes differently in the two places (8-wire-facts.md E).
_CODECS = {
    "UTF8": "utf-8",
    "UNICODE": "utf-8",
    "SQLASCII": "utf-8",
    "LATIN1": "latin-1",
    "ISO88591": "latin-1",
    "LATIN2": "iso8859-2",
    "LATIN3": "iso8859-3",
    "LATIN4": "iso8859-4",
    "LATIN5": "iso8859-9",
    "LATIN6": "iso8859-10",
    "LATIN7": "iso8859-13",
    "LATIN8": "iso8859-14",
    "LATIN9": "iso8859-15",
    "LATIN10": "iso8859-16",
    "ISO88595": "iso8859-5",
    "ISO88596": "iso8859-6",
    "ISO88597": "iso8859-7",
    "ISO88598": "iso8859-8",
    "KOI8R": "koi8-r",
    "KOI8": "koi8-r",
    "KOI8U": "koi8-u",
    "WIN1250": "cp1250",
    "WIN1251": "cp1251",
    "WIN": "cp1251",
    "WIN1252": "cp1252",
    "WIN1253": "cp1253",
    "WIN1254": "cp1254",
    "WIN1255": "cp1255",
    "WIN1256": "cp1256",
    "WIN1257": "cp1257",
    "WIN1258": "cp1258",
    "WIN866": "cp866",
    "ALT": "cp866",
    "WIN874": "cp874",
}


def codec_of(client_encoding: str) -> str | None:
    """Return the Python codec of a client_encoding, or None when it is not safe to read."""
    key = "".join(c for c in client_encoding.upper() if c.isalnum())
    return _CODECS.get(key)


def key_of(name: bytes, codec: str) -> bytes:
    """Return the name of a statement or portal as it is kept here: in UTF-8, cut off as there.

    Raises ProtocolError for a long one where only the target knows at which byte it is cut off.
    """
    if name.isascii():
        return name[:LONGEST_NAME]
    name = name.decode(codec, "surrogateescape").encode("utf-8", "surrogateescape")
    if len(name) > LONGEST_NAME:
        raise ProtocolError("client", f"a name of more than {LONGEST_NAME} bytes beyond ASCII")
    return name
