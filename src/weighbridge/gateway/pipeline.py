"""What is decided of every request before it goes upstream, in order.

Each step looks at the exchange, fills in what it found, and answers None to go on, a refusal, or
WAITING, after which the exchange goes on by itself. What follows is driven by events: call (with
retries and failover), relay and meter, in `exchange.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Final

from weighbridge.gateway.admission import Claim, Refusal
from weighbridge.gateway.calls import Calls
from weighbridge.gateway.dialects.ask import AskError
from weighbridge.gateway.dialects.asking import read_ask
from weighbridge.gateway.dialects.endpoints import dialect_of, endpoint_of
from weighbridge.gateway.dialects.naming import Labels, names_from_headers
from weighbridge.gateway.dialects.prompts import prompt_parts
from weighbridge.gateway.dialects.rewriting import rewrite
from weighbridge.gateway.headers import presented_key
from weighbridge.gateway.keys import model_refusal
from weighbridge.policy.matching import tighten
from weighbridge.policy.types import Facts, NoRoute, Route

if TYPE_CHECKING:
    from weighbridge.gateway.admission import VirtualKey
    from weighbridge.gateway.dialects.ask import Endpoint
    from weighbridge.gateway.exchange import Exchange
    from weighbridge.gateway.setup import Setup
    from weighbridge.ledger.prompt_shape import PromptShaper
    from weighbridge.policy.types import Dialect


class Waiting:
    """A step's answer: the exchange goes on later, by itself."""


NO_LABELS = Labels()
WAITING: Final = Waiting()
Outcome = Refusal | Waiting | None

UNKNOWN_PATH = Refusal(
    404, "unknown_path", "This gateway does not serve that path. The operator may add it."
)
FALLBACKS = Refusal(
    400,
    "fallback_not_allowed",
    "`models` and `route` would let the provider answer with another model than was allowed here. "
    "Leave them out, and name one `model`.",
)
UNREAD_MODEL = Refusal(
    403,
    "model_not_allowed",
    "This key may ask for some models only, so that what it sends here has to be a JSON object "
    "with a `model`; no other body is passed on.",
)
BACKGROUND = Refusal(
    400,
    "background_not_allowed",
    "A hard budget applies here, and what `background` costs is not known when it is answered. "
    "Leave `background` out.",
)
UNRECORDED = Refusal(
    503, "not_recorded", "Requests cannot be written down just now, so none is served.", 5.0
)


class Caller:
    """What a head alone says: who asks, where, under which names. Kept with heads that repeat."""

    __slots__ = (
        "dialect",
        "endpoint",
        "expires_at",
        "key",
        "labels",
        "prepared",
        "setup",
        "tenant",
    )

    def __init__(
        self, setup: Setup, endpoint: Endpoint, dialect: Dialect, key: VirtualKey | None
    ) -> None:
        self.setup = setup  # under another one, all of it is looked up anew
        self.endpoint = endpoint
        self.dialect = dialect
        self.key = key
        self.expires_at = inf if key is None or key.expires_at is None else key.expires_at
        self.tenant: str | None = None if key is None else key.tenant
        self.labels = NO_LABELS
        self.prepared: dict[str, bytes] = {}  # heads for targets, by their names


def authenticate(x: Exchange) -> Outcome:
    """Which key is it, and may it ask this gateway anything?"""
    head = x.request.head
    caller = None if head is None else head.seen
    if type(caller) is not Caller or caller.setup is not x.setup or x.at >= caller.expires_at:
        found = meet(x)
        if isinstance(found, Refusal):
            return found
        caller = found
        if head is not None:
            head.seen = caller
    x.caller = caller
    x.endpoint = caller.endpoint
    x.dialect = caller.dialect
    x.key = caller.key
    x.tenant = caller.tenant
    return None


def meet(x: Exchange) -> Caller | Refusal:
    """Look up who asks, by everything that the head says."""
    request, setup = x.request, x.setup
    found = endpoint_of(request.method, request.path)
    endpoint = x.endpoint = found or "other"
    x.dialect = dialect_of(endpoint, request.headers, request.path)
    presented = presented_key(dict(request.headers))
    if setup.is_open:
        caller = Caller(setup, endpoint, x.dialect, None)
        caller.tenant = setup.name_of_stranger(presented)
    else:
        key = setup.keys.check(presented, x.at)
        if isinstance(key, Refusal):
            return key
        caller = Caller(setup, endpoint, x.dialect, key)
    x.key, x.tenant = caller.key, caller.tenant  # from here on a refusal is written down
    if found is None:
        return UNKNOWN_PATH
    try:
        caller.labels = names_from_headers(request.headers)
    except AskError as error:
        return Refusal(400, "invalid_request", str(error))
    return caller


def identify(x: Exchange) -> Outcome:
    """What is asked, for which feature and template, in which data class?"""
    setup, request, names = x.setup, x.request, x.caller.labels
    x.data_class = x.key.data_class if x.key is not None else None
    if setup.config.is_observed:
        classes = setup.policy.data_classes
        said_class = names.data_class
        x.data_class = next((c for c in (said_class, x.data_class) if c in classes), None)
    elif names.data_class is not None:
        tightened = tighten(x.data_class, names.data_class, setup.policy)
        if isinstance(tightened, NoRoute):
            return Refusal(403, tightened.reason, tightened.message)
        x.data_class = tightened
    if x.endpoint == "models":
        return list_models(x)
    if x.endpoint == "other":
        return setup.route_other(x)
    try:
        ask = x.ask = read_ask(x.endpoint, request.body)
    except AskError as error:
        return Refusal(400, "invalid_request", str(error))
    said = ask if setup.reads_body_names else NO_LABELS
    template = names.template or said.template
    if template is None and setup.fingerprinter is not None:
        template = recognise(x, setup.fingerprinter)
    x.facts = Facts(
        x.dialect,
        ask.model,
        x.tenant,
        names.feature or said.feature,
        template,
        x.data_class,
        ask.input_tokens_estimate,
        ask.has_tools,
        ask.has_json_schema,
        names.user or said.user,
        names.conversation or said.conversation,
        setup.instant(x.at) if setup.has_windows else None,
    )
    return None


def recognise(x: Exchange, shaper: PromptShaper) -> str | None:
    """A name for what nobody named; where it is new, a sketch of the prompt goes to the spool."""
    system, user = prompt_parts(x.endpoint, x.request.body)
    name = shaper.name(system, user)
    if not name:
        return None
    meter = x.gateway.meter
    if meter.sketches.takes(name, x.arrived_s):
        is_new = meter.sketches.takes_system(name)
        for one in shaper.sketches(name, system, user, with_system=is_new):
            meter.sketch(one, shaper.key_id)
    return name


def list_models(x: Exchange) -> Outcome:
    """The models that this client may name; where its own key passes through, of its provider."""
    if x.setup.passes_models(x):
        return None
    body = x.setup.models(x)
    if body is None:
        return Refusal(404, "model_not_found", "No such model here, or not for this key.")
    x.answer(200, [(b"content-type", b"application/json")], body)
    return WAITING


def admit(x: Exchange) -> Outcome:
    """Is it allowed: by compliance, by the key's models, by limits and by budgets?"""
    setup, facts = x.setup, x.facts
    if setup.refuses_unrecorded and x.gateway.meter.is_failing(x.arrived_s):
        return UNRECORDED
    if facts is None:
        return admit_other(x)
    refusal = withheld(x, facts.model)
    if refusal is not None:
        return refusal
    route = setup.matcher.route(facts, x.gateway.random())
    if type(route) is NoRoute:
        return Refusal(setup.status_of(route), route.reason, route.message)
    assert isinstance(route, Route)
    if x.ask is not None and x.ask.stateful_id is not None:
        home = setup.home_for(x, x.ask.stateful_id, route)
        if isinstance(home, Refusal):
            return home
        route = Route(route.rule, (home,))  # what is reserved is at its price
    x.route = route
    return None if setup.admission is None else claim(x, facts, route)


def withheld(x: Exchange, model: str) -> Refusal | None:
    """Why the key, or the way in which it asks, keeps a model from it."""
    if x.key is not None and x.key.models:
        refusal = model_refusal(x.key, model)
        if refusal is not None:
            return refusal
    return FALLBACKS if x.ask is not None and x.ask.names_fallbacks and holds_models(x) else None


def holds_models(x: Exchange) -> bool:
    """Whether it was decided which models may answer: by the key's list, or by data class."""
    return x.setup.matcher.has_restricted or (x.key is not None and bool(x.key.models))


def admit_other(x: Exchange) -> Outcome:
    """A path that passes through: its target is chosen; what it takes is known only afterwards."""
    key, admission = x.key, x.setup.admission
    model = ""
    if holds_models(x):
        try:
            ask = read_ask("other", x.request.body)
            body = rewrite(ask, x.request.body, None, add_usage=False)
        except AskError as error:
            return Refusal(400, "invalid_request", str(error))
        x.request.body = body
        model = ask.model
        refusal = None
        if key is not None and key.models and body:
            refusal = model_refusal(key, model) if model else UNREAD_MODEL
        if refusal is None and ask.names_fallbacks:
            refusal = FALLBACKS
        if refusal is not None:
            return refusal
    if admission is None:
        return None
    return claimed(x, Claim(key, x.tenant, x.caller.labels.feature, model, 0, 0))


def claim(x: Exchange, facts: Facts, route: Route) -> Outcome:
    """Reserve the most that the request can take; it is settled when it is written down."""
    setup, ask = x.setup, x.ask
    assert ask is not None
    tokens, pico_usd = setup.most(ask, route, x.at)
    wanted = Claim(x.key, x.tenant, facts.feature, facts.model, tokens, pico_usd)
    if ask.is_background and setup.has_hard_budget(wanted):
        return BACKGROUND
    return claimed(x, wanted)


def claimed(x: Exchange, wanted: Claim) -> Outcome:
    """What admission says to a claim."""
    admission = x.setup.admission
    assert admission is not None
    outcome = admission.admit(wanted, x.arrived_s, x.at, x.admitted)
    if outcome is None:
        return WAITING
    if type(outcome) is Refusal:
        return outcome
    assert not isinstance(outcome, Refusal)
    x.grant = outcome
    return None


def choose(x: Exchange) -> Outcome:
    """Which target first, by health and load? From here on the machine of calls decides."""
    setup, route = x.setup, x.route
    assert route is not None
    stays = x.ask is not None and x.ask.stateful_id is not None
    x.calls = Calls(setup.call_context, route.targets, x.arrived_s, stays, setup.is_repeatable(x))
    x.gateway.open(x)
    x.perform(x.calls.start(x.arrived_s))
    return None


Step = Callable[["Exchange"], Outcome]
PIPELINE: tuple[Step, ...] = (authenticate, identify, admit, choose)
