"""Which model listens, as the environment says; with none it is the guided interview."""

import importlib.util
import os
from collections.abc import Mapping
from typing import Any, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage, SystemMessage

from agent.asking import PATIENCE, Unanswered
from agent.listening import Unusable, heard_in
from agent.reading import BUDGET, Listener, interview

PROBE = (
    'Call update_draft with the intent "small_talk" and no operations.',
    '{"draft": {}, "asked": [], "earlier": [], "new": [{"id": "1", "by": "ann", "text": "Hello"}]}',
)
KEYS = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}
"""Where providers' keys are whose clients do not say that theirs is missing."""

LONGEST = 25.0
"""Seconds that a model may be given: a turn has room for two answers of this length."""


class BadModel(Exception):
    """The settings name no model that can be used; the text says what to do."""


def configured_listener(environment: Mapping[str, str] = os.environ) -> Listener:
    """Who listens: the model that SIGNOFF_MODEL names as provider:model, or the guided interview. Raises BadModel."""
    name = environment.get("SIGNOFF_MODEL", "")
    if not name:
        return interview()
    seconds = _number(environment, "SIGNOFF_MODEL_TIMEOUT", PATIENCE, LONGEST)
    budget = _number(environment, "SIGNOFF_MODEL_BUDGET", BUDGET, 10**9)
    model = _model(name, environment.get("SIGNOFF_MODEL_URL", ""), seconds, environment)
    return Listener(model, patience=seconds, budget=round(budget), name=name)


def _model(name: str, url: str, seconds: float, environment: Mapping[str, str]) -> BaseChatModel:
    provider, colon, model = name.partition(":")
    if not (provider and colon and model):
        raise BadModel(f"SIGNOFF_MODEL is {name!r}: write provider:model, such as openai:gpt-5 or anthropic:claude-sonnet-4-5.")
    if importlib.util.find_spec("langchain") is None:
        raise BadModel("SIGNOFF_MODEL needs a package: start it by ./scripts/signoff, which installs that.")
    from langchain.chat_models import init_chat_model

    given: dict[str, Any] = {"timeout": seconds, "max_retries": 0, "disable_streaming": True}
    if url and not url.startswith(("http://", "https://")):
        raise BadModel(f"SIGNOFF_MODEL_URL is {url!r}: write an address that begins with http:// or https://, or unset it.")
    if url:
        given["base_url"] = url
    if (key := KEYS.get(provider)) and not environment.get(key):
        if not url:
            raise BadModel(f"{key} is not set, and SIGNOFF_MODEL names {provider}: set it, or unset SIGNOFF_MODEL.")
        given["api_key"] = "none"  # a server of one's own rarely wants one, and the client insists
    try:
        return cast(BaseChatModel, init_chat_model(model, model_provider=provider, **given))
    except ImportError as error:
        raise BadModel(f"SIGNOFF_MODEL names {provider}, and {_first(error)}") from None
    except Exception as error:  # a missing key, mostly; each provider says it in a class of its own
        raise BadModel(f"SIGNOFF_MODEL cannot be used ({_first(error)}): check its name, see docs/listening.md.") from None


def _number(environment: Mapping[str, str], name: str, default: float, most: float) -> float:
    given = environment.get(name, "")
    try:
        number = float(given or default)
    except ValueError:
        number = 0.0
    if not 0 < number <= most:
        raise BadModel(f"{name} is {given!r}: give a number over 0 and up to {most:,.0f}, or unset it for {default:,.0f}.")
    return number


def _first(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0][:200].rstrip(":. ")


async def probe(listener: Listener) -> str:
    """What is wrong with the model, found by asking it once; empty if nothing is, or if there is none."""
    if listener.guided:
        return ""
    instructions, talk = PROBE
    try:
        heard_in(await listener.asker.ask([SystemMessage(instructions), HumanMessage(talk)]))
    except Unanswered as error:
        return f"The model {listener.name} does not answer: {error}."
    except Unusable as error:
        return f"The model {listener.name} answers without calling the tool as it was asked to ({error})."
    return ""
