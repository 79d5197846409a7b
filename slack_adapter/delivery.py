"""Delivery: takes what people are to see to Slack, in the order of its conversation, each thing once."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from slack_sdk.errors import SlackApiError

from agent.faults import point
from agent.hiding import hide
from agent.ports import NotYet
from agent.rules import CARD_DAYS
from agent.sealing import SHORT, FieldChange
from agent.surfaces import CardView, Effect, Outbox
from slack_adapter import blocks, notes
from slack_adapter.cards import Cards
from slack_adapter.errands import Errands
from slack_adapter.inbound import thread_of
from slack_adapter.naming import is_id
from slack_adapter.pieces import Block, pieces, quiet, section
from slack_adapter.posting import Poster, Talk
from slack_adapter.text import escape
from slack_adapter.workspaces import REVOKED, UNANSWERED, NotInstalled, Workspaces, named, passes, pause_of

PATIENCE = 6 * 3600.0
"""Seconds after which a delivery that fails is given up, if it was tried often enough by then."""

TRIES = 10
LONGEST_PAUSE = 300.0
"""Seconds between two tries."""

log = logging.getLogger(__name__)


class Delivery:
    """Delivers the effects of sessions; any number of processes may, one at a time for each session."""

    def __init__(self, workspaces: Workspaces, outbox: Outbox, poster: Poster, cards: Cards, errands: Errands) -> None:
        self._workspaces, self._outbox, self._poster, self._cards, self._errands = workspaces, outbox, poster, cards, errands

    async def deliver(self, session_id: str) -> float | None:
        """Delivers what is due; gives the seconds after which to look again, None if nothing is left."""
        for effect, absorbed in _merged(await self._outbox.due(session_id)):
            together = (effect, *absorbed)
            if not _is_of_card(effect.body):
                await self._outbox.begin(effect)
                point("delivery-begun")
            try:
                wait = await self._deliver(effect)
            except Exception as error:
                pause = self._pause(effect, error)
                if isinstance(pause, float):
                    await self._outbox.later(together, pause, failed=_is_of_card(effect.body))  # the others were begun
                    point("delivery-delayed")
                    break  # what comes after it in this conversation waits, too
                log.warning("could not deliver %s: %s", effect.key, pause)
                with suppress(Exception):  # it is on record in any case
                    await self._tell_directly(effect, pause)
                await self._outbox.done(together, pause)
                point("delivery-recorded")
                continue
            if wait is None:
                point("delivery-made")
                await self._outbox.done(together)
                point("delivery-recorded")
            else:
                await self._outbox.later(together, wait)
                point("delivery-delayed")
        await self._clear_status(session_id)
        return await self._outbox.wait(session_id)

    def _pause(self, effect: Effect, error: Exception) -> float | str:
        """The seconds after which a delivery is tried again, or why it will never succeed."""
        if isinstance(error, NotYet):
            return float(error.seconds)
        if isinstance(error, SlackApiError) and (seconds := pause_of(error)) is not None:
            return seconds
        log.info("%s could not be delivered yet: %s", effect.key, error)
        said = named(error) if isinstance(error, SlackApiError) else ""
        if said in REVOKED:
            self._workspaces.forget(effect.session_id.partition(":")[0])
        if isinstance(error, SlackApiError) and not passes(error):
            return said
        age = (datetime.now(UTC) - effect.at).total_seconds()
        if effect.attempts >= TRIES and age > PATIENCE:
            return said or hide(str(error)) or type(error).__name__
        return max(1.0, min(2.0 ** min(effect.attempts, 10), 1 + age / 4, LONGEST_PAUSE))  # pauses of Slack's are no tries

    async def _deliver(self, effect: Effect) -> float | None:
        """Delivers one effect; gives the seconds to wait if it is too early for it."""
        talk, body = await self._talk(effect), effect.body
        if _is_of_card(body):
            return await self._cards.refresh(talk, effect)
        match body["kind"]:
            case "errand":
                await self._errands.run(talk, effect)
            case "private" if not is_id(body["to"]):
                pass  # an operator's own affair, who has read it at the command line
            case "private":
                in_thread = bool(await self._outbox.cards(effect.session_id))
                await self._poster.whisper(talk, effect, body["to"], escape(body["text"]), in_thread=in_thread)
            case "decision":
                await self._cards.refresh_beside(talk, effect)
                await self._answer(talk, effect)
            case "say":
                text = escape(body["text"])
                await self._poster.once(talk, effect, text, [section(piece) for piece in pieces(text)])
                await self._cards.refresh_beside(talk, effect)
            case "question":
                await self._cards.refresh_beside(talk, effect)
                await self._ask(talk, effect)
            case "similar":  # before its card
                await self._say_with(talk, effect, notes.similar(effect.session_id, body))
            case "unsettled":
                await self._cards.refresh_beside(talk, effect)
                await self._poster.once(talk, effect, *notes.unsettled(effect.session_id, body))
            case "contested":
                await self._cards.refresh_beside(talk, effect)
                text, shown = notes.contested(effect.session_id, body)
                await self._poster.whisper(talk, effect, body["to"], text, shown, in_thread=True)
            case "filed":
                await self._cards.refresh_beside(talk, effect)
                await self._poster.once(talk, effect, *notes.filed(body))
        return None

    async def _tell_directly(self, effect: Effect, problem: str) -> None:
        """Who decided is told where a conversation cannot be written to any more."""
        body, cards = effect.body, await self._outbox.cards(effect.session_id)
        person = body["to"] if _is_of_card(body) and body["kind"] == "decision" else ""
        if body["kind"] == "filed":
            person = next((card.decided_by for card in cards if card.draft_hash == body["draft_hash"]), "")
        if person:
            done = {"approved": "Your approval counts.", "rejected": "The ticket is discarded."}
            ticket = f"It is filed as {blocks.ticket(body['key'], body['url'])}." if body["kind"] == "filed" else ""
            what = ticket or done[body["status"]]
            text = f"{what} I could not say so in <#{thread_of(effect.session_id)[0]}> ({escape(problem)})."
            await self._poster.directly(await self._talk(effect), effect, person, text, [section(text)])

    async def _talk(self, effect: Effect) -> Talk:
        return Talk(await self._workspaces.of(effect.session_id.partition(":")[0]), effect.session_id)

    async def _ask(self, talk: Talk, effect: Effect) -> None:
        text, shown = notes.questions(effect.session_id, effect.body["questions"])
        await self._say_with(talk, effect, (text, await quiet(shown, talk.workspace.name)))

    async def _say_with(self, talk: Talk, effect: Effect, note: tuple[str, list[Block]]) -> None:
        """Posts a message, below what was to be said right before it."""
        said, (text, shown) = [escape(one) for one in effect.body.get("said", [])], note
        above = [section(piece) for one in said for piece in pieces(one)]
        await self._poster.once(talk, effect, "\n".join([*said, text]), [*above, *shown])

    async def _answer(self, talk: Talk, effect: Effect) -> None:
        """Tells one person what a click came to that decided nothing."""
        body, cards = effect.body, await self._outbox.cards(talk.session_id)
        text = _told(body, cards)
        since = [FieldChange.model_validate(change) for change in body["diff"] if body["row"] != "forbidden"]
        where = _where(talk, cards) if body["row"] in ("stale", "expired", "unknown", "discarded") else ""
        shown: list[Block] = notes.answer_blocks(text, since, where)
        await self._poster.whisper(talk, effect, body["to"], text, shown, in_thread=bool(cards))

    async def _clear_status(self, session_id: str) -> None:
        """In a direct conversation: takes away that the agent is working, which not every answer does."""
        channel, thread_ts = thread_of(session_id)
        if channel.startswith("D"):
            try:
                workspace = await self._workspaces.of(session_id.partition(":")[0])
            except (NotInstalled, *UNANSWERED):
                return
            await workspace.show_status(channel, thread_ts, "")


def _is_of_card(body: dict[str, Any]) -> bool:
    """Whether only the card tells of it; that is brought up to date as often as it takes, and is no post."""
    return body["kind"] in ("preview", "marked", "marks", "settled") or body.get("status") in ("approved", "rejected")


def _merged(effects: Sequence[Effect]) -> list[tuple[Effect, list[Effect]]]:
    """What is said right before a question of the same event goes into the question's message: one message, not two.

    So does what is said before tickets that may be the same: else the card would come with it, and before them.
    """
    merged: list[tuple[Effect, list[Effect]]] = []
    for effect in effects:
        before = merged[-1][0] if merged else None
        together = before and before.body["kind"] == "say" and before.key.rpartition(":")[0] == effect.key.rpartition(":")[0]
        if before and together and effect.body["kind"] in ("question", "similar"):
            said = {**effect.body, "said": [before.body["text"]]}
            merged[-1] = (effect.model_copy(update={"body": said}), [before])
        else:
            merged.append((effect, []))
    return merged


def _told(body: dict[str, Any], cards: Sequence[CardView]) -> str:
    filed = next((card for card in cards if card.draft_hash == body["draft_hash"] and card.filing == "filed"), None)
    ticket = f" It is filed as {blocks.ticket(filed.key, filed.url)}." if filed else ""
    before = next((card.linked for card in cards if card.draft_hash == body["draft_hash"] and card.linked), None)
    linked = blocks.ticket(before.key, before.url) if before else ""
    now = next((card for card in cards if card.status == "open"), None)
    current = f" The current card is version {now.version}, `{now.draft_hash[:SHORT]}`." if now else " No card is open now."
    texts = {
        "forbidden": f"You cannot decide this: {escape(body['text'].partition(': ')[2])}",
        "unknown": f"Nothing was decided: that card was never shown in this conversation.{current}",
        "decided": f"Already approved by <@{body['by']}>.{ticket}",
        "discarded": f"Already {f'linked to {linked}' if linked else 'discarded'} by <@{body['by']}>.{current}",
        "expired": f"Nothing was decided: that card was shown more than {CARD_DAYS} days ago.{current}",
        "stale": f"Nothing was decided: that card is no longer current.{current}",
    }
    return texts.get(body["row"], escape(body["text"]))


def _where(talk: Talk, cards: Sequence[CardView]) -> str:
    """The address of the card that counts; or if that is not shown yet, of the one in whose place it will come."""
    shown = [card for card in cards if card.posted and card.posted.ts]
    standing = next((card for card in shown if card.status in ("open", "approved")), shown[0] if shown else None)
    if standing is None or standing.posted is None:
        return ""
    return talk.workspace.permalink(standing.posted.channel, standing.posted.ts[-1])
