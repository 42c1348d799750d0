"""Query types that were recognised, in place of the names that the gateway or an import gave."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis
import ibis.expr.types as ir

from weighbridge.ledger.fingerprint import FINGERPRINT_START
from weighbridge.ledger.prompt_shape import HEAD_CHARS, NAME_CHARS, SYSTEM_CHARS

if TYPE_CHECKING:
    from weighbridge.usage.analyses.engine import Engine
    from weighbridge.usage.recognising.naming import TypeNames

PREFIXES = {"prefix": "string", "type_name": "string"}


def read_recognised(engine: Engine, names: TypeNames) -> None:
    """Let every later analysis read query types where it reads templates."""
    known = engine.keep_rows(sorted(names.of_prefix.items()), ibis.table(PREFIXES, "type_prefixes"))
    engine.read_instead(
        with_types(engine.requests, known, is_recognised=names.is_recognised), "requests_typed"
    )


def with_types(requests: ir.Table, known: ir.Table, *, is_recognised: bool) -> ir.Table:
    """Requests whose template is their query type, as `TypeNames.of` says."""
    columns = list(requests.columns)
    rows = requests.mutate(
        start=requests.template.substr(0, 1),
        system=requests.template.substr(0, SYSTEM_CHARS),
        head=requests.template.substr(0, HEAD_CHARS),
        whole=requests.template.substr(0, NAME_CHARS),
        dot=requests.template.substr(SYSTEM_CHARS, 1),
    )
    for part in ("whole", "head", "system"):
        types = known.select(**{f"of_{part}": known.prefix, f"type_{part}": known.type_name})
        kept = [*rows.columns, f"type_{part}"]
        rows = rows.left_join(types, rows[part].identical_to(types[f"of_{part}"])).select(*kept)
    nobody = ibis.null("string") if is_recognised else rows.system
    left = (rows.dot == ".").ifelse(nobody, rows.template)
    typed = ibis.coalesce(rows.type_whole, rows.type_head, rows.type_system, left)
    named = (rows.start == FINGERPRINT_START).ifelse(typed, rows.template)
    return rows.mutate(template=named).select(*columns)
