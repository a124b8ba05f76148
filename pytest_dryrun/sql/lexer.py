"""The one lexer of SQL text: sqlparse's engine with Postgres' own lexical rules in place of its many dialects.

PostgreSQL manual, "Lexical Structure": backslashes count only in `E''` strings, block comments nest, a `$` may stand
inside a name. Text is never grouped or parsed, so a file's size costs time, not stack.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from sqlparse import tokens as kinds
from sqlparse.lexer import Lexer

# As what they are not: a range up to U+10FFFF, in no case, takes re a tenth of a second to compile.
_FIRST, _TAG, _NEXT = r"[^\0-@\[-^`{-\x7f]", r"[^\0-/:-@\[-^`{-\x7f]", r"[^\0-#%-/:-@\[-^`{-\x7f]"
_WORD = f"{_FIRST}{_NEXT}*"
# The commonest first: sqlparse tries them in turn at every token.
_LEXICAL_RULES = [
    (r"[ \t\r\n\f\v]+", kinds.Whitespace),
    (rf"""{_WORD}+(?!['"]|&['"])""", kinds.Keyword),
    (r"[();,.*\[\]]", kinds.Punctuation),
    (r"[=<>+%!~?:@#&|^]+", kinds.Operator),
    (r"[0-9][\w.]*", kinds.Number),
    (r"--[^\r\n]*", kinds.Comment.Single),
    (r"/\*[\s\S]*?\*/", kinds.Comment.Multiline),
    (r"E'(?:[^'\\]++|\\[\s\S]|'')*+'", kinds.String.Single),
    (r"(?:[NBX]|U&)?'(?:[^']++|'')*+'", kinds.String.Single),
    (r'(?:U&)?"(?:[^"]++|"")*+"', kinds.String.Symbol),
    (rf"(\$(?:{_FIRST}{_TAG}*)?\$)[\s\S]*?(?-i:\1)", kinds.Literal),
    (_WORD, kinds.Keyword),
    (r"[\s\S]", kinds.Operator),
]
_COMMENT_EDGE = re.compile(r"/\*|\*/")


def _lexer() -> Lexer:
    lexer = Lexer()
    lexer.clear()  # type: ignore[no-untyped-call]
    lexer.set_SQL_REGEX(_LEXICAL_RULES)  # type: ignore[no-untyped-call]
    return lexer


_LEXER = _lexer()


def tokens(sql: str) -> Iterator[tuple[int, kinds._TokenType, str]]:
    """Every token with its offset; block comments nest, as they do on the server."""
    offset = 0
    while offset < len(sql):
        for kind, value in _LEXER.get_tokens(sql[offset:]):  # type: ignore[no-untyped-call]
            if sql.startswith("/*", offset) and kind in (
                kinds.Comment.Multiline,
                kinds.Comment.Multiline.Hint,
                kinds.Operator,
            ):
                end = _comment_end(sql, offset)
                yield offset, kinds.Comment.Multiline, sql[offset:end]
                if end != offset + len(value):
                    offset = end
                    break
            else:
                yield offset, kind, value
            offset += len(value)


def _comment_end(sql: str, start: int) -> int:
    depth = 0
    for edge in _COMMENT_EDGE.finditer(sql, start):
        depth += 1 if edge[0] == "/*" else -1
        if depth == 0:
            return edge.end()
    return len(sql)


def unquoted(symbol: str) -> str:
    """A quoted name without its quotes; escapes of the rare form `U&"..."` stay as they are written."""
    return symbol[symbol.index('"') + 1 : -1].replace('""', '"')
