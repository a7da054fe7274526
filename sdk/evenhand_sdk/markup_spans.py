"""What of a text is written for machines: tags with their attributes, targets of links, paths and names of files, LaTeX
commands with what they refer to.

Prose in attributes is prose (`alt`, `title`, `placeholder`, `aria-label`), and so are *his/her* and *and/or*.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from evenhand_sdk.spans import Span

_VALUE = r"(?:\"[^\"<>]{0,2000}\"|'[^'<>]{0,2000}'|[^\s\"'<>=]{1,2000})"
_TAG = re.compile(rf"</?[A-Za-z][\w:.-]*(?:\s+[\w:@.-]+(?:\s*=\s*{_VALUE})?)*\s*/?>")
_PROSE = re.compile(r"\b(?:alt|title|placeholder|aria-label)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')", re.IGNORECASE)
_LINK = re.compile(r"\]\(\s*(<[^<>\n]*>|[^\s()<>]+(?:\([^\s()]*\)[^\s()]*)*)(?=\s*\)|\s+[\"'(])")
_ENDING = (
    "html?|xhtml|php|css|js|ts|jsx|tsx|json|jsonl|xml|ya?ml|toml|ini|cfg|conf|txt|md|rst|csv|tsv|log|pdf|docx?|xlsx?|pptx?"
    "|odt|tex|bib|png|jpe?g|gif|svg|webp|bmp|tiff?|ico|mp3|mp4|wav|ogg|flac|avi|mov|mkv|zip|gz|tar|tgz|bz2|7z|exe|dll|py"
    "|ipynb|java|cpp|hpp|sh|bat|sql|parquet|pkl|npy|safetensors"
)
_PATH = re.compile(
    r"(?<![\w.~/\\:-])(?:[A-Za-z]:[\\/]|\\\\\w|(?:\.{1,2}|~)[\\/])\S+"  # C:\Users\Her, ./his, ~/her
    r"|(?<![\w.~/\\:<-])/[\w.~%+-]+/\S+"  # /home/she
    rf"|(?<![\w.~/\\:-])[\w.~%+\\/-]*\w\.(?:{_ENDING})(?!\w)"  # his/her.html, her.jpg
    r"|(?<![\w/])/?[ru]/\w{2,}"  # what a forum calls its parts and members
)
_LATEX = re.compile(
    r"(?<![\w\\])\\(?:(?:(?:eq|auto|page|name|[cC])?ref|label|cite[a-z]*|bibitem|input|include|includegraphics|bibliography"
    r"|usepackage|documentclass|begin|end|url|href|hyperref|newcommand|renewcommand)\*?(?:\[[^\]\n]{0,200}\])*"
    r"[{\[][^{}\n]{0,200}[}\]]|[A-Za-z]+)"
)
_JOINED_DOT = re.compile(r"\.[a-z]")
_OPEN = re.compile(
    r"<[A-Za-z][^<>\n]*\s(?!alt\b|title\b|placeholder\b|aria-label\b)[\w:@.-]+\s*=\s*(?:\"[^\"<>]*|'[^'<>]*|[^\s\"'<>=]*)\Z"
    r"|</?[\w:.-]*\Z|\]\([^\s()]*\Z"
    r"|(?<![\w.~/\\:-])(?:[A-Za-z]:[\\/]|\\\\\w|(?:\.{1,2}|~)[\\/])\S*\Z|(?<![\w.~/\\:<-])/[\w.~%+-]+/\S*\Z"
    r"|(?<![\w/])/?[ru]/\Z"
    r"|(?<![\w\\])\\(?:(?:[a-zA-Z]*ref|label|cite[a-z]*|input|include|includegraphics|url|href)\*?[{\[][^{}\n]*)?\Z"
)
_REACH = 200


def markup_spans(text: str) -> Iterator[Span]:
    """The stretches of the text that are markup, in no order."""
    if "<" in text:
        for tag in _TAG.finditer(text):
            yield from _without_prose(text, *tag.span())
    if "](" in text:
        yield from (link.span(1) for link in _LINK.finditer(text))
    if "/" in text or "\\" in text or _JOINED_DOT.search(text):
        yield from (path.span() for path in _PATH.finditer(text))
    if "\\" in text:
        yield from (command.span() for command in _LATEX.finditer(text))


def in_markup_so_far(text: str, start: int) -> bool:
    """Whether what stands before the place shows that markup goes on there."""
    before = text[max(0, start - _REACH) : start]
    if "<" in before or "](" in before or "/" in before or "\\" in before:
        return _OPEN.search(before) is not None
    return False


def _without_prose(text: str, start: int, end: int) -> Iterator[Span]:
    """The tag, but for the values of its attributes that people read."""
    for value in _PROSE.finditer(text, start, end):
        yield start, value.start(value.lastindex or 0)
        start = value.end(value.lastindex or 0)
    yield start, end
