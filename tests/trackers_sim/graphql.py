"""As much of GraphQL as a tracker's client sends: operations, variables, aliases, arguments, fragments."""

import re
from dataclasses import dataclass, field
from typing import Any

SKIPPED = r"(?:[\s,\ufeff]|#[^\n]*)*"
TOKEN = re.compile(SKIPPED + r'("""(?:.|\n)*?"""|"(?:\\.|[^"\\])*"|\.\.\.|[{}()\[\]:!$=@|&]|-?\d+(?:\.\d+)?|\w+)' + SKIPPED)


class SyntaxRefused(Exception):
    """It is not GraphQL, or more than is understood."""


@dataclass
class Field:
    """A field that is asked for."""

    name: str
    alias: str
    arguments: dict[str, Any]
    selected: list["Field"] = field(default_factory=list)


@dataclass
class Operation:
    """What is asked."""

    kind: str
    selected: list[Field]


def parse(text: str, variables: dict[str, Any], name: str | None = None) -> Operation:
    """The operation of that name, or the only one, with its variables put in."""
    return _Parser(text, variables).document(name)


class _Parser:
    def __init__(self, text: str, variables: dict[str, Any]) -> None:
        self.tokens: list[str] = []
        self.variables = variables
        self.declared: set[str] = set()
        self.fragments: dict[str, list[Field]] = {}
        at, text = 0, text.strip()
        while at < len(text):
            found = TOKEN.match(text, at)
            if not found:
                raise SyntaxRefused(f"Syntax Error: Unexpected character: {text[at : at + 1]!r}.")
            self.tokens.append(found[1])
            at = found.end()
        self.at = 0

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else "<EOF>"

    def take(self, wanted: str = "") -> str:
        token = self.peek()
        if token == "<EOF>" or (wanted and token != wanted):
            raise SyntaxRefused(f"Syntax Error: Expected {wanted or 'Name'}, found {token}.")
        self.at += 1
        return token

    def document(self, name: str | None) -> Operation:
        operations: dict[str, Operation] = {}
        self._find_fragments()
        while self.peek() != "<EOF>":
            kind, called = "query", ""
            if self.peek() == "fragment":
                self._skip_fragment()
                continue
            if self.peek() != "{":
                kind = self.take()
                if kind not in ("query", "mutation"):
                    raise SyntaxRefused(f'Syntax Error: Unexpected Name "{kind}".')
                called = self.take() if self.peek() not in ("{", "(") else ""
                if self.peek() == "(":
                    self._declare()
            operations[called] = Operation(kind, self.selection())
        if name is not None and name in operations:
            return operations[name]
        if len(operations) != 1:
            raise SyntaxRefused("Must provide operation name if query contains multiple operations.")
        return next(iter(operations.values()))

    def _find_fragments(self) -> None:
        """Read the fragments first: they may be used before they are written."""
        for at, token in enumerate(self.tokens):
            if token == "fragment" and self.tokens[at + 2 : at + 3] == ["on"]:
                self.at = at + 4
                self.declared = set(self.variables)
                self.fragments[self.tokens[at + 1]] = self.selection()
        self.at, self.declared = 0, set()

    def _skip_fragment(self) -> None:
        while self.peek() != "{":
            self.take()
        depth = 0
        while True:
            token = self.take()
            depth += (token == "{") - (token == "}")
            if not depth:
                return

    def _declare(self) -> None:
        self.take("(")
        while self.peek() != ")":
            self.take("$")
            called = self.take()
            self.declared.add(called)
            self.take(":")
            kind = ""
            while self.peek() in ("[", "]", "!") or re.match(r"\w", self.peek()):
                kind += self.take()
            if self.peek() == "=":
                self.take("=")
                self.variables.setdefault(called, self.value())
            if kind.endswith("!") and self.variables.get(called) is None:
                raise SyntaxRefused(f'Variable "${called}" of required type "{kind}" was not provided.')
        self.take(")")

    def selection(self) -> list[Field]:
        selected: list[Field] = []
        self.take("{")
        while self.peek() != "}":
            if self.peek() == "...":
                self.take()
                if self.peek() == "on":
                    self.take()
                    self.take()
                    selected += self.selection()
                else:
                    called = self.take()
                    if called not in self.fragments:
                        raise SyntaxRefused(f'Unknown fragment "{called}".')
                    selected += self.fragments[called]
                continue
            name = alias = self.take()
            if self.peek() == ":":
                self.take()
                name = self.take()
            arguments = {}
            if self.peek() == "(":
                self.take()
                while self.peek() != ")":
                    key = self.take()
                    self.take(":")
                    value = self.value()
                    if value is not _MISSING:
                        arguments[key] = value
                self.take(")")
            selected.append(Field(name, alias, arguments, self.selection() if self.peek() == "{" else []))
        self.take("}")
        return selected

    def value(self) -> Any:
        token = self.take()
        if token == "$":
            called = self.take()
            if called not in self.declared:
                raise SyntaxRefused(f'Variable "${called}" is not defined.')
            return self.variables.get(called, _MISSING)
        if token == "[":
            values = []
            while self.peek() != "]":
                values.append(self.value())
            self.take("]")
            return values
        if token == "{":
            made = {}
            while self.peek() != "}":
                key = self.take()
                self.take(":")
                value = self.value()
                if value is not _MISSING:
                    made[key] = value
            self.take("}")
            return made
        if token.startswith('"""'):
            return token[3:-3]
        if token.startswith('"'):
            return token[1:-1].encode("latin-1", "backslashreplace").decode("unicode_escape")
        constants = {"true": True, "false": False, "null": None}
        if token in constants:
            return constants[token]
        if re.fullmatch(r"-?\d+", token):
            return int(token)
        return float(token) if re.fullmatch(r"-?\d+\.\d+", token) else token


_MISSING = object()
