"""Which Ibis operations an analysis may use, so that a bigger engine can run it unchanged."""

from __future__ import annotations

import ibis.expr.operations as ops
import ibis.expr.types as ir

ALLOWED: frozenset[type[ops.Node]] = frozenset(
    {
        # tables
        ops.UnboundTable,
        ops.Project,
        ops.Filter,
        ops.Aggregate,
        ops.JoinChain,
        ops.JoinLink,
        ops.JoinReference,
        ops.Union,
        # values
        ops.Field,
        ops.Literal,
        ops.Cast,
        ops.IfElse,
        ops.Coalesce,
        ops.IsNull,
        ops.NotNull,
        ops.And,
        ops.Or,
        ops.Equals,
        ops.NotEquals,
        ops.Less,
        ops.LessEqual,
        ops.GreaterEqual,
        ops.IdenticalTo,
        ops.Add,
        ops.Multiply,
        ops.Floor,
        ops.Round,
        ops.Log2,
        ops.TimestampTruncate,
        ops.Substring,
        # aggregates
        ops.CountStar,
        ops.Sum,
        ops.Min,
        ops.Max,
    }
)


def operations_outside(expression: ir.Expr) -> tuple[str, ...]:
    """Names of the operations in an expression that are not on the list, sorted."""
    found = {type(node) for node in expression.op().find(ops.Node)}
    return tuple(sorted(kind.__name__ for kind in found - ALLOWED))
