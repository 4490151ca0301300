"""The process that compares formulas: one JSON line in, one JSON line out.

Formulas come from models, so they are read by a grammar of our own. sympy's own `parse_expr`
evaluates its input as Python.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

import regex

MEMORY_BYTES: Final = 2_000_000_000
_MAX_LENGTH: Final = 2_000
_MAX_EXPONENT: Final = 10_000
_TOKEN: Final = regex.compile(
    r"\s+|(?P<number>\d+(?:\.\d+)?|\.\d+)|(?P<command>\\[a-zA-Z]+)|(?P<word>[a-zA-Z]+)"
    r"|(?P<mark>[-+*/^_(){}\[\]|,=!<>;&]|\\[{}|])|(?P<other>.)"
)
_FUNCTIONS: Final = frozenset(
    {"sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "asin", "acos"}
    | {"atan", "sinh", "cosh", "tanh", "log", "ln", "exp", "sqrt", "abs", "lg"}
)
_RENAMED: Final = {"arcsin": "asin", "arccos": "acos", "arctan": "atan", "ln": "log", "abs": "Abs"}
_SKIPPED: Final = frozenset(
    {"\\left", "\\right", "\\displaystyle", "\\limits", "\\quad", "\\qquad", "\\big", "\\Big"}
    | {"\\bigl", "\\bigr", "\\text", "\\mathrm", "\\mathbf", "\\operatorname"}
)
_GREEK: Final = frozenset(
    {"alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "kappa", "lambda"}
    | {"mu", "nu", "xi", "rho", "sigma", "tau", "phi", "chi", "psi", "omega"}
)


class Unparsable(ValueError):
    """The text is not a formula of our grammar."""


class Parser:
    """A formula of LaTeX or plain text, read into sympy objects by recursive descent."""

    def __init__(self, text: str) -> None:
        self._sympy: Any = import_module("sympy")
        self._tokens = _tokenize(text)
        self._at = 0

    def parse(self) -> Any:
        """The whole formula.

        Raises:
            Unparsable: it cannot be read to its end.
        """
        value = self._sum()
        if self._at < len(self._tokens):
            raise Unparsable(f"unexpected {self._peek()!r}")
        return value

    def _peek(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        self._at += 1
        return token

    def _accept(self, *wanted: str) -> bool:
        if self._peek() in wanted and self._peek():
            self._at += 1
            return True
        return False

    def _expect(self, wanted: str) -> None:
        if not self._accept(wanted):
            raise Unparsable(f"{wanted!r} is missing")

    def _sum(self) -> Any:
        value = self._product()
        while self._peek() in ("+", "-"):
            value = value + self._product() if self._next() == "+" else value - self._product()
        return value

    def _product(self) -> Any:
        value = self._signed()
        while True:
            if self._accept("*", "\\cdot", "\\times"):
                value = value * self._signed()
            elif self._accept("/", "\\div"):
                value = value / self._signed()
            elif self._begins_factor():
                value = value * self._power()
            else:
                return value

    def _begins_factor(self) -> bool:
        token = self._peek()
        return bool(token) and (
            token[0].isalnum()
            or token in ("(", "{", "[")
            or (token[0] == "\\" and token not in ("\\cdot", "\\times", "\\div", "\\}", "\\|"))
        )

    def _signed(self) -> Any:
        if self._accept("-"):
            return -self._signed()
        if self._accept("+"):
            return self._signed()
        return self._power()

    def _power(self) -> Any:
        base = self._atom()
        while self._accept("!"):
            if not (base.is_Integer and 0 <= base <= 500):
                raise Unparsable("a factorial of this size")
            base = self._sympy.factorial(base)
        if self._accept("^"):
            exponent = self._signed()
            if exponent.is_number and abs(exponent.evalf()) > _MAX_EXPONENT:
                raise Unparsable("an exponent of this size")
            return base**exponent
        return base

    def _group(self, closing: str) -> Any:
        value = self._sum()
        if self._peek() == ",":
            items = [value]
            while self._accept(","):
                items.append(self._sum())
            self._expect(closing)
            return self._sympy.Tuple(*items)
        self._expect(closing)
        return value

    def _braced(self) -> Any:
        if self._accept("{"):
            return self._group("}")
        return self._atom()

    def _atom(self) -> Any:
        token = self._next()
        if token == "":
            raise Unparsable("the formula ends too early")
        if token[0].isdigit() or token[0] == ".":
            return self._sympy.Rational(token)
        if token in ("(", "{", "["):
            return self._group({"(": ")", "{": "}", "[": "]"}[token])
        if token == "|":  # noqa: S105 - a token of a formula
            value = self._sum()
            self._expect("|")
            return self._sympy.Abs(value)
        if token[0] == "\\":
            return self._command(token)
        if token[0].isalpha():
            return self._word(token)
        raise Unparsable(f"unexpected {token!r}")

    def _command(self, token: str) -> Any:
        name = token[1:]
        if name in ("frac", "dfrac", "tfrac", "cfrac"):
            top = self._braced_digit()
            return top / self._braced_digit()
        if name == "sqrt":
            degree = self._group("]") if self._accept("[") else self._sympy.Integer(2)
            return self._sympy.root(self._braced(), degree)
        if name in ("binom", "dbinom"):
            top = self._braced()
            return self._sympy.binomial(top, self._braced())
        if name in ("infty", "pi"):
            return self._sympy.oo if name == "infty" else self._sympy.pi
        if name in ("circ", "degree"):
            return self._sympy.Integer(1)
        return self._word(name)

    def _braced_digit(self) -> Any:
        r"""An argument of `\frac`, which may be a single digit: `\frac12`."""
        digits = self._peek()
        if digits.isdigit() and len(digits) > 1:
            self._tokens[self._at] = digits[1:]
            return self._sympy.Rational(digits[0])
        return self._braced()

    def _word(self, name: str) -> Any:
        if name.lower() in _FUNCTIONS:
            return self._function(name.lower())
        if name in ("pi", "π"):
            return self._sympy.pi
        if name in ("oo", "inf", "infinity", "infty"):
            return self._sympy.oo
        if name == "e":
            return self._sympy.E
        if name == "i":
            return self._sympy.I
        if len(name) > 1 and name not in _GREEK:
            raise Unparsable(f"the word {name!r}")
        if self._accept("_"):
            name = f"{name}_{self._subscript()}"
        return self._sympy.Symbol(name)

    def _subscript(self) -> str:
        if not self._accept("{"):
            return self._next()
        inner = ""
        while self._peek() not in ("}", ""):
            inner += self._next()
        self._expect("}")
        return inner

    def _function(self, name: str) -> Any:
        exponent = self._signed() if self._accept("^") else None
        base = self._braced() if name == "log" and self._accept("_") else None
        argument = self._power() if self._peek() in ("(", "{", "[") else self._product_argument()
        if name == "sqrt":
            value = self._sympy.sqrt(argument)
        elif base is not None or name == "lg":
            value = self._sympy.log(argument, base if base is not None else 10)
        else:
            value = getattr(self._sympy, _RENAMED.get(name, name))(argument)
        return value if exponent is None else value**exponent

    def _product_argument(self) -> Any:
        r"""What `\sin 2x` takes: the factors up to the next sign."""
        value = self._power()
        while self._begins_factor() and self._peek().lstrip("\\").lower() not in _FUNCTIONS:
            value = value * self._power()
        return value


def _tokenize(text: str) -> list[str]:
    tokens = []
    for match in _TOKEN.finditer(text):
        token = match[0]
        if match["other"]:
            raise Unparsable(f"the character {token!r}")
        if not token.strip() or token in _SKIPPED:
            continue
        if match["word"] and token.lower() not in _FUNCTIONS and token not in ("pi", "oo", *_GREEK):
            tokens += list(token)  # `xy` is x times y
        else:
            tokens.append({"\\{": "{", "\\}": "}", "\\|": "|", "\\lvert": "|"}.get(token, token))
    return tokens


def prepare(text: str, *, keep_name: bool = False) -> str:
    """The formula without marks that carry no meaning, and without a lone `x =` before it."""
    text = text[:_MAX_LENGTH].replace("−", "-").replace("×", "*").replace("·", "*")
    text = text.replace("÷", "/").replace("π", "\\pi ").replace("√", "\\sqrt ").replace("**", "^")
    text = regex.sub(r"\\(?:text|mathrm|mbox|textbf)\s*\{[^{}]*\}", "", text)
    text = regex.sub(r"\\[,;:! ]|\$|~|\\[()\[\]]|°|\\%|%|\{,\}|\\\$", "", text)
    text = regex.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text).strip().rstrip(".")
    text = regex.sub(r"\^\s*\{?\\circ\}?", "", text)
    head, equals, tail = text.rpartition("=")
    is_named = regex.fullmatch(r"\s*[a-zA-Z](?:_\{?\w+\}?)?(?:\([a-z]\))?\s*", head)
    return tail if equals and is_named and not keep_name else text


def compare(answer: str, target: str) -> bool:
    """Whether two formulas are equal: as numbers, symbolically, or as tuples item by item."""
    sympy: Any = import_module("sympy")
    is_equation = "=" in answer and "=" in target
    sides = [_read_sides(prepare(text, keep_name=is_equation)) for text in (answer, target)]
    left, right = sides
    if left is None or right is None or len(left) != len(right):
        return False
    if len(left) == 2:  # equations: the same up to a factor
        first, second = (sympy.expand(side[0] - side[1]) for side in (left, right))
        if second == 0 or first == 0:
            return bool(first == second)
        ratio = sympy.simplify(first / second)
        return bool(ratio.is_number and ratio != 0)
    return _is_equal(left[0], right[0])


def _read_sides(text: str) -> list[Any] | None:
    parts = text.split("=")
    try:
        return [Parser(part).parse() for part in parts] if len(parts) <= 2 else None
    except (Unparsable, ZeroDivisionError, ValueError, TypeError, RecursionError):
        return None


def _is_equal(left: Any, right: Any) -> bool:
    sympy: Any = import_module("sympy")
    if isinstance(left, sympy.Tuple) or isinstance(right, sympy.Tuple):
        both = isinstance(left, sympy.Tuple) and isinstance(right, sympy.Tuple)
        return both and len(left) == len(right) and all(map(_is_equal, left, right))
    if left == right:
        return True
    if left.is_number and right.is_number:
        difference = abs(complex(left.evalf(30) - right.evalf(30)))
        # Equal up to rounding of the last digits; exact forms have been compared before.
        return difference <= 1e-12 * max(1.0, abs(complex(right.evalf(30))))
    return bool(sympy.simplify(left - right) == 0)


def main() -> None:
    """Serve comparisons until the input ends."""
    _limit_memory()
    import_module("sympy")  # before the time of the first comparison begins
    print("ready", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        found: dict[str, bool | str]
        try:
            targets = request["targets"]
            _limit_time(request.get("cpu_s", 0))
            found = {"equal": any(_safely(compare, request["answer"], each) for each in targets)}
        except MemoryError:  # not a wrong answer: nothing was found out
            found = {"error": f"needs more than {MEMORY_BYTES / 1e9:g} GB of memory"}
        _limit_time(0)
        print(json.dumps(found), flush=True)


def _safely(function: Callable[[str, str], bool], answer: str, target: str) -> bool:
    try:
        return function(answer, target)
    except (ArithmeticError, ValueError, TypeError, AttributeError, RecursionError):
        return False  # what sympy cannot compare is not shown to be equal
    except NotImplementedError:
        return False


def _limit_time(cpu_s: float) -> None:
    """End this process when it has used so much processor time from now on; 0 lifts the limit."""
    if hasattr(signal, "setitimer"):  # Windows has none; there the parent process measures time
        # The signal's own action ends the process, even within one long operation.
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_PROF, cpu_s)


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # Windows has no such limit; the time limit holds there, too
        return
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


if __name__ == "__main__":
    main()
