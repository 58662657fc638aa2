"""The catalog's tables as methods, without SQL: `catalog.results(study="kitchen", frames=[8, 16])`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa


class Accessors(ABC):
    """Methods that return the rows of one table each, as `pyarrow.Table` (columns: docs/reference/sql.md).

    All take columns with the value that they are to have, or with a list of values; `None` means empty. They
    raise `QueryError` where the table has no such column. Rows have no order: sort what you show.
    """

    @abstractmethod
    def query(self, sql: str, params: Any = None) -> pa.Table:  # noqa: ANN401  (the implementation's own types)
        """Run one read-only statement and return its rows."""

    def results(self, **where: object) -> pa.Table:
        """One row a finished cell of today's studies: accuracies, its axes, sizes, times."""
        return self._rows("results", where)

    def cells(self, **where: object) -> pa.Table:
        """One row a cell that a study plans today, in any state."""
        return self._rows("cells", where)

    def epochs(self, **where: object) -> pa.Table:
        """One row an epoch of a cell: losses and accuracies."""
        return self._rows("epochs", where)

    def attempts(self, **where: object) -> pa.Table:
        """One row a try at training a cell: when, by whom, how it ended."""
        return self._rows("attempts", where)

    def evaluations(self, **where: object) -> pa.Table:
        """One row a protocol that a finished cell was measured with."""
        return self._rows("evaluations", where)

    def accuracies(self, **where: object) -> pa.Table:
        """One row an experiment, averaged over its seeds; `source` is own or published."""
        return self._rows("accuracies", where)

    def against_published(self, **where: object) -> pa.Table:
        """One row an own number beside the published one: the difference, its interval, what differs."""
        return self._rows("against_published", where)

    def per_class_accuracy(self, **where: object) -> pa.Table:
        """One row a class of an evaluation."""
        return self._rows("per_class_accuracy", where)

    def confusion(self, **where: object) -> pa.Table:
        """One row a pair of true and predicted class of an evaluation."""
        return self._rows("confusion", where)

    def predictions(self, **where: object) -> pa.Table:
        """One row a video of an evaluation, with its first five classes."""
        return self._rows("predictions", where)

    def datasets(self, **where: object) -> pa.Table:
        """One row a dataset that was built."""
        return self._rows("datasets", where)

    def notes(self, **where: object) -> pa.Table:
        """One row a note on a cell or a study."""
        return self._rows("notes", where)

    def tags(self, **where: object) -> pa.Table:
        """One row a tag of a cell or a study."""
        return self._rows("tags", where)

    def _rows(self, view: str, where: dict[str, object]) -> pa.Table:
        conditions, values = [], {}
        for number, (column, wanted) in enumerate(where.items()):
            name = '"' + column.replace('"', '""') + '"'
            if wanted is None:
                conditions.append(f"{name} IS NULL")
            else:
                conditions.append(f"list_contains($value_{number}, {name})")
                several = isinstance(wanted, list | tuple | set | frozenset)
                values[f"value_{number}"] = [*wanted] if several else [wanted]  # type: ignore[misc]
        return self.query(f"FROM {view} WHERE {' AND '.join(conditions) or 'TRUE'}", values or None)
