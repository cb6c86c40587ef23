"""What an OpenAPI document cannot say of a valid request, said to Schemathesis.

Only requests that are meant to be valid are touched: what is meant to be wrong goes out as it was made. No check is
left out.
"""

import schemathesis
from schemathesis.generation import GenerationMode

# Only an earlier answer has them; without one, a page is the first and a feed begins at its beginning.
GIVEN_BY_AN_ANSWER = ("cursor", "after", "logs")
# Each may be left out, but the second must not be before the first.
RANGES = (("from", "to"), ("start_timestamp", "end_timestamp"))


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.meta is None or case.meta.generation.mode != GenerationMode.POSITIVE:
        return
    query = case.query or {}
    for name in GIVEN_BY_AN_ANSWER:
        query.pop(name, None)
    if "time_zone" in query:
        query["time_zone"] = "Europe/Berlin"
    for begin, end in RANGES:
        if begin in query and end in query:
            del query[begin]
    if case.operation.path in ("/dead-letters/redrive", "/dead-letters/dismiss") and isinstance(case.body, dict):
        # Either by their ids or by a filter; the rest belongs to one of them.
        case.body.pop("cursor", None)
        if "filter" in case.body or "ids" not in case.body:
            case.body.setdefault("filter", {})
            unfit = ("ids", "force")
        else:
            unfit = ("limit",)
        for name in unfit:
            case.body.pop(name, None)
    if case.operation.path in ("/running", "/music"):
        # One of both, never both; no schema of single parameters can say it.
        query.pop("at", None)
        query.setdefault("index", "0")
        case.query = query
    # Schemathesis does not compress what it says it has compressed; an Idempotency-Key is for one event without an id.
    is_one = isinstance(case.body, dict) and "event_id" not in case.body
    unfit = {"content-encoding"} if is_one else {"content-encoding", "idempotency-key"}
    for name in [name for name in case.headers or {} if name.lower() in unfit]:
        del case.headers[name]
