"""DataFrames of polars and Arrow tables, where the toolkit computes with pandas."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any


def as_pandas(frame: Any) -> Any:
    """A frame of polars, or an Arrow table, as a DataFrame of pandas; anything else as it is.

    Decimals become floats, as in the DataFrames that the toolkit itself returns.
    """
    if type(frame).__name__ == "LazyFrame":
        frame = frame.collect()
    if hasattr(frame, "to_arrow"):
        frame = frame.to_arrow()
    if not hasattr(frame, "to_pandas"):
        return frame
    import pyarrow as pa

    for at, field in enumerate(frame.schema):
        if pa.types.is_decimal(field.type):
            column = frame.column(at).cast(pa.float64())
            frame = frame.set_column(at, field.name, column)
    return frame.to_pandas()


def takes_frames(draw: Callable[..., Any]) -> Callable[..., Any]:
    """A function of a DataFrame that takes frames of polars and Arrow tables as well."""

    @wraps(draw)
    def draw_converted(*args: Any, **options: Any) -> Any:
        converted = {name: as_pandas(value) for name, value in options.items()}
        return draw(*map(as_pandas, args), **converted)

    return draw_converted
