"""The listeners of buttons and forms. What changes a session was made durable before they run (`slack_adapter.app`)."""

import logging
import re
from collections.abc import Sequence
from typing import Any

from slack_bolt.async_app import AsyncApp
from slack_bolt.context.ack.async_ack import AsyncAck
from slack_bolt.context.async_context import AsyncBoltContext
from slack_sdk.web.async_client import AsyncWebClient

from agent.draft import TicketDraft
from agent.faults import point
from agent.operations import Operation, apply
from agent.ports import Event
from agent.protocol import FileRequest, Reply, from_hitl
from agent.surfaces import Standing
from slack_adapter import forms
from slack_adapter.answers import (
    GONE,
    OLD_BUTTON,
    OLD_FORM,
    Body,
    answering,
    give_back,
    refuse,
    show_form,
    submission,
    team,
    tell,
)
from slack_adapter.commands import Commands
from slack_adapter.desk import Desk
from slack_adapter.evidence import evidence_blocks
from slack_adapter.inbound import MARKS, NUMBERED, errand_session, parse_value, thread_of
from slack_adapter.pieces import plain
from slack_adapter.settling import Settling
from slack_adapter.text import escape
from slack_adapter.workspaces import UNANSWERED

FILED = "That ticket is filed already: press *New ticket* on its card to start another."
BEING_FILED = "That ticket is approved already and is being filed, so it cannot be changed any more."
LINKED = "It is {key} instead, so this draft cannot be changed any more: press *New ticket* on its card to start another."
FORGOTTEN = "That draft was given up, so it cannot be changed any more: mention me and say *new* to start another."
UNSETTLED = "That ticket is approved, and its filing is not settled: use the buttons of the message that says so first."
NO_TITLE = "A ticket needs a title."
NOT_SAVED = "I could not save this just now, and nothing is lost: press the button again."
PROMPTS = [
    {"title": "Draft a ticket", "message": "Title: \nProblem: \nAcceptance criteria:\n- "},
    {"title": "Report a bug", "message": "Type: bug\nTitle: \nProblem: "},
]

log = logging.getLogger(__name__)


async def handle_approve_draft(ack: AsyncAck, body: Body, context: AsyncBoltContext, client: AsyncWebClient) -> None:
    """A click on "Create". It is durable already, and its turn answers; one that could not be read is answered here."""
    await _taken(ack, body, context, client)


async def handle_reject_draft(ack: AsyncAck, body: Body, context: AsyncBoltContext, client: AsyncWebClient) -> None:
    """A click on "Discard", which Slack asked to confirm; the same way as an approval."""
    await _taken(ack, body, context, client)


async def _taken(ack: AsyncAck, body: Body, context: AsyncBoltContext, client: AsyncWebClient) -> None:
    await ack()
    if not context.get("taken"):
        known = parse_value(body["actions"][0].get("value"))
        await tell(client, body, GONE if known else OLD_BUTTON)


class Handlers:
    """The listeners that need more than what came in."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def register(self, app: AsyncApp) -> None:
        """Tells the app which listener answers what."""
        Commands(self._desk).register(app)
        Settling(self._desk).register(app)
        app.action("approve_draft")(handle_approve_draft)
        app.action("reject_draft")(handle_reject_draft)
        app.action("new_ticket")(_taken)
        app.action("file_again")(_taken)
        app.action("leave_filing")(_taken)
        app.action(re.compile(f"^{NUMBERED.pattern}$"))(_taken)
        for act in MARKS:
            app.action(act)(_taken)
        app.action("request_changes")(self.open_form)
        app.action("fill_in")(self.open_form)
        app.action("reopen")(self.reopen_form)
        app.action("show_evidence")(self.show_evidence)
        app.action("comment")(self.open_comment)
        app.action("open_ticket")(_acknowledge)
        app.action(_ANY)(_old_button)
        app.view(forms.EDIT)(self.save_form)
        app.view(forms.COMMENT)(self.save_comment)
        app.view(_ANY)(_old_form)
        app.message_shortcut("draft_ticket")(_acknowledge)  # durable already, and answered in the thread
        app.shortcut(_ANY)(_acknowledge)
        app.event("app_home_opened")(_home_opened)
        app.event(_ANY)(_acknowledge)

    async def _standing(
        self, body: Body, context: AsyncBoltContext, client: AsyncWebClient, *, anywhere: bool = False
    ) -> Standing | None:
        """Where the session of a button stands, if it was pressed where that is to be seen; else its presser is told.

        What a button says is not believed: the form that it opens shows a whole draft.
        """
        value = parse_value(body["actions"][0].get("value"))
        if value and value.parts[0] == team(context):
            standing = await self._desk.sessions.standing(value.session_id)
            if standing and (anywhere or _pressed_in(body) in await self._desk.places(value.session_id)):
                return standing
        await tell(client, body, GONE if value else OLD_BUTTON)
        return None

    async def _draft(
        self, body: Body, context: AsyncBoltContext, client: AsyncWebClient, *, anywhere: bool = False
    ) -> tuple[str, TicketDraft] | None:
        """The session of a button and its draft, while that can be changed."""
        if (standing := await self._standing(body, context, client, anywhere=anywhere)) is None:
            return None
        if ended := _ended(standing):
            await tell(client, body, ended)
            return None
        return standing.session_id, _draft(standing)

    async def open_form(self, ack: AsyncAck, body: Body, context: AsyncBoltContext, client: AsyncWebClient) -> None:
        """ "Request changes" and "Fill in the rest": the draft as a form, opened before anything slow."""
        await ack()
        async with answering(client, body):
            if found := await self._draft(body, context, client):
                session_id, draft = found
                missing = body["actions"][0]["action_id"] == "fill_in" and bool(draft.missing())
                await show_form(client, body, forms.edit_form(session_id, draft, missing=missing))

    async def reopen_form(self, ack: AsyncAck, body: Body, context: AsyncBoltContext, client: AsyncWebClient) -> None:
        """The form of somebody who was a moment too late, with what was typed."""
        await ack()
        async with answering(client, body):
            await self._reopen(body, context, client)

    async def _reopen(self, body: Body, context: AsyncBoltContext, client: AsyncWebClient) -> None:
        value = parse_value(body["actions"][0].get("value"))
        event_id = body["actions"][0].get("block_id", "")
        typed = await self._desk.sessions.answer(value.session_id, event_id) if value else None
        if typed is None or typed.get("by") != body["user"]["id"]:
            await tell(client, body, GONE)
            return
        if (found := await self._draft(body, context, client, anywhere=True)) is None:  # it may stand in a direct message
            return
        session_id, draft = found
        edits = [Operation.model_validate(edit) for edit in typed.get("edits", [])]
        contested = [edit.field for edit in edits if edit.over and edit.over != draft.digest(edit.field)]
        await show_form(client, body, forms.edit_form(session_id, draft, typed=edits, contested=contested))

    async def save_form(self, ack: AsyncAck, body: Body, context: AsyncBoltContext, view: Body) -> None:
        """Checks the form against the draft as it is now, and makes what its author changed durable before it is closed."""
        try:
            edited = forms.Edited(view)
        except ValueError:
            await refuse(ack, view, OLD_FORM)
            return
        standing = None
        if edited.session_id.startswith(f"{team(context)}:"):
            standing = await self._desk.sessions.standing(edited.session_id)
        if standing is None or (ended := _ended(standing)):
            await give_back(ack, view, GONE if standing is None else ended)
            return
        draft = _draft(standing)
        operations, conflicts = edited.operations(draft)
        if conflicts:
            typed, contested = [*operations, *conflicts], [one.field for one in conflicts]
            form = forms.edit_form(edited.session_id, draft, typed=typed, contested=contested)
            await ack(response_action="update", view=form)
            return
        for operation in operations:
            _, problems = apply(draft, [operation], {})
            if problems or (operation.field == "title" and not operation.value):
                await refuse(ack, view, {operation.field: problems[0] if problems else NO_TITLE})
                return
        if operations:
            said = Reply(text=_in_words(operations), by=body["user"]["id"], edits=operations)
            event = Event(
                event_id=submission(body, view),
                session_id=edited.session_id,
                origin=thread_of(edited.session_id)[0],
                surface={"kind": "form"},
                answer=said,
            )
            try:
                await self._desk.accept(event)
            except Exception:
                log.exception("a form could not be saved")
                await refuse(ack, view, NOT_SAVED)
                return
        await ack()

    async def show_evidence(self, ack: AsyncAck, body: Body, context: AsyncBoltContext, client: AsyncWebClient) -> None:
        """Who said what the draft holds."""
        await ack()
        async with answering(client, body):
            if standing := await self._standing(body, context, client):
                view = {"type": "modal", "title": plain("Who said what"), "close": plain("Close")}
                await show_form(client, body, {**view, "blocks": evidence_blocks(_draft(standing))})

    async def open_comment(self, ack: AsyncAck, body: Body, context: AsyncBoltContext, client: AsyncWebClient) -> None:
        """ "Add a comment" on a filed ticket."""
        await ack()
        async with answering(client, body):
            await self._comment(body, context, client)

    async def _comment(self, body: Body, context: AsyncBoltContext, client: AsyncWebClient) -> None:
        if (standing := await self._standing(body, context, client)) is None:
            return
        pressed = (body.get("message") or {}).get("ts") or (body.get("container") or {}).get("message_ts")
        cards = await self._desk.outbox.cards(standing.session_id)
        filed = [card for card in cards if card.posted and pressed in card.posted.ts and card.filing == "filed"]
        if filed:
            await show_form(client, body, forms.comment_form(standing.session_id, filed[0].key))
        else:
            await tell(client, body, GONE)

    async def save_comment(self, ack: AsyncAck, body: Body, context: AsyncBoltContext, view: Body) -> None:
        """Makes a comment durable before the form is closed."""
        try:
            session_id, ticket, text = forms.read_comment(view)
            if not session_id.startswith(f"{team(context)}:"):
                raise ValueError("of another workspace")
        except ValueError:
            await refuse(ack, view, OLD_FORM)
            return
        key, user = submission(body, view), body["user"]["id"]
        said = {"kind": "errand", "kind_of": "comment", "of": session_id, "ticket": ticket, "user": user, "text": text}
        lane = errand_session(team(context), thread_of(session_id)[0], key)  # a slow tracker holds up no conversation
        try:
            await self._desk.outbox.send(key, lane, "", said)
        except Exception:
            log.exception("a comment could not be saved")
            await refuse(ack, view, NOT_SAVED)
            return
        await ack()


_ANY = re.compile(".*")


async def _acknowledge(ack: AsyncAck) -> None:
    await ack()


async def _old_button(ack: AsyncAck, body: Body, client: AsyncWebClient) -> None:
    await ack()
    await tell(client, body, OLD_BUTTON)


async def _old_form(ack: AsyncAck, view: Body) -> None:
    await give_back(ack, view, "That form is of an older version of me.")


async def _home_opened(body: Body, client: AsyncWebClient) -> None:
    """Somebody opened the conversation with the agent: prompts to begin with."""
    event = body["event"]
    if event.get("tab") == "messages" and event.get("channel"):
        try:
            point("slack-adorning")
            await client.assistant_threads_setSuggestedPrompts(channel_id=event["channel"], prompts=PROMPTS)
            point("slack-adorned")
        except UNANSWERED as error:
            log.info("no suggested prompts: %s", error)


def _pressed_in(body: Body) -> Any:
    return (body.get("channel") or {}).get("id") or (body.get("container") or {}).get("channel_id")


def _ended(standing: Standing) -> str:
    """Why a session's draft cannot be changed any more; empty if it can."""
    if closed := standing.state.get("closed"):
        key = (standing.state.get("linked") or {}).get("key", "")
        return LINKED.format(key=escape(key)) if closed == "linked" else FORGOTTEN
    outcome = standing.state.get("outcome") or {}
    if outcome.get("status") == "filed":
        return FILED
    if outcome.get("status") in ("failed", "unknown"):
        return UNSETTLED
    pending = from_hitl(standing.pending.request) if standing.pending else None
    return BEING_FILED if isinstance(pending, FileRequest) else ""


def _draft(standing: Standing) -> TicketDraft:
    return TicketDraft.model_validate(standing.state.get("draft", {}))


def _in_words(operations: Sequence[Operation]) -> str:
    return "\n".join(f"{operation.field}: {', '.join(operation.value)}" for operation in operations)
