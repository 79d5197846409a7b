"""The listeners: what is answered at once. What changes a session was made durable before they run (`slack_adapter.app`)."""

import asyncio
import hashlib
import json
import logging
import re
from collections.abc import Mapping
from typing import Any

from slack_bolt.async_app import AsyncApp
from slack_bolt.context.ack.async_ack import AsyncAck
from slack_bolt.context.async_context import AsyncBoltContext
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from agent.draft import Evidence, Operation, TicketDraft, apply
from agent.ports import Event
from agent.protocol import AskRequest, FileRequest, PreviewRequest, Reply, from_hitl
from agent.sealing import SHORT
from agent.surfaces import Standing
from slack_adapter import approvers, blocks, forms
from slack_adapter.approvers import Person
from slack_adapter.desk import Desk
from slack_adapter.inbound import command_word, parse_value, team_of, thread_of
from slack_adapter.text import escape, link
from slack_adapter.workspaces import UNANSWERED, Workspace, named

Body = Mapping[str, Any]

HELP = """*Signoff* drafts a ticket with you, shows the exact ticket, and files it once somebody approves it.
• Mention me in a channel or thread, write me directly, put :ticket: on a message, or use its shortcut *Draft a ticket*.
• `/signoff new` and what it is about: starts a ticket here.
• `/signoff status`: what waits for you.
• `/signoff setup`: where this channel's tickets go, and who may approve."""
OLD_BUTTON = "That button is of an older version of me: say *show* in the conversation for a current card."
GONE = "That conversation is not known to me any more, so nothing was changed: mention me to start anew."
TOO_LATE = "That took too long, and Slack did not let me open the form: press the button again."
FILED = "That ticket is filed already. Say *new* in its thread to start another."
BEING_FILED = "That ticket is approved already and is being filed, so it cannot be changed any more."
PROMPTS = [
    {"title": "Draft a ticket", "message": "Title: \nProblem: \nAcceptance criteria:\n- "},
    {"title": "Report a bug", "message": "Type: bug\nTitle: \nProblem: "},
]

MEMBERS_SECONDS = 1.5
"""Seconds in which Slack has to say who is in a channel, where that is asked before an acknowledgement."""

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


async def tell(client: AsyncWebClient, body: Body, text: str, shown: list[blocks.Block] | None = None) -> None:
    """Says something to the one who acted, in the place of the act, or else in a direct message."""
    user, container = body["user"]["id"], body.get("container") or {}
    channel = (body.get("channel") or {}).get("id") or container.get("channel_id")
    thread_ts = (body.get("message") or {}).get("thread_ts") or container.get("thread_ts")
    said: dict[str, Any] = {"text": text, "blocks": shown or [blocks.section(text)]}
    try:
        if channel:
            await client.chat_postEphemeral(channel=channel, user=user, thread_ts=thread_ts, **said)
            return
    except UNANSWERED:
        log.info("an answer could not be shown in %s", channel)
    try:
        opened = await client.conversations_open(users=user)
        await client.chat_postMessage(channel=opened["channel"]["id"], **said)
    except UNANSWERED as error:
        log.warning("nobody could be told: %s", error)


class Handlers:
    """The listeners that need more than what came in."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def register(self, app: AsyncApp) -> None:
        """Tells the app which listener answers what."""
        app.action("approve_draft")(handle_approve_draft)
        app.action("reject_draft")(handle_reject_draft)
        app.action("request_changes")(self.open_form)
        app.action("fill_in")(self.open_form)
        app.action("show_evidence")(self.show_evidence)
        app.action("new_ticket")(_taken)
        app.action("reopen")(self.reopen_form)
        app.action("comment")(self.open_comment)
        app.action("open_ticket")(_acknowledge)
        app.action(_ANY)(_old_button)
        app.view(forms.EDIT)(self.save_form)
        app.view(forms.SETUP)(self.save_setup)
        app.view(forms.COMMENT)(self.save_comment)
        app.view(_ANY)(_old_form)
        app.command("/signoff")(self.command)
        app.message_shortcut("draft_ticket")(self.shortcut)
        app.shortcut(_ANY)(_acknowledge)
        app.event("app_home_opened")(self.home_opened)
        app.event(_ANY)(_acknowledge)

    async def open_form(self, ack: AsyncAck, body: Body, client: AsyncWebClient) -> None:
        """ "Request changes" and "Fill in the rest": the draft as a form, opened before anything slow."""
        await ack()
        action = body["actions"][0]
        value = parse_value(action.get("value"))
        standing = await self._desk.sessions.standing(value.session_id) if value else None
        if value is None or standing is None:
            await tell(client, body, GONE if value else OLD_BUTTON)
            return
        if ended := _ended(standing):
            await tell(client, body, ended)
            return
        view = forms.edit_form(value.session_id, _draft(standing), missing=action["action_id"] == "fill_in")
        await _open(client, body, view)

    async def reopen_form(self, ack: AsyncAck, body: Body, client: AsyncWebClient) -> None:
        """The form of somebody who was a moment too late, with what was typed."""
        await ack()
        action = body["actions"][0]
        value = parse_value(action.get("value"))
        standing = await self._desk.sessions.standing(value.session_id) if value else None
        typed = await self._desk.sessions.answer(action.get("block_id", "")) if standing else None
        if value is None or standing is None or typed is None:
            await tell(client, body, GONE if value else OLD_BUTTON)
            return
        if ended := _ended(standing):
            await tell(client, body, ended)
            return
        draft = _draft(standing)
        edits = [Operation.model_validate(edit) for edit in typed.get("edits", [])]
        entered = {edit.field: forms.joined(edit.field, edit.value) for edit in edits if edit.op == "set"}
        contested = [edit.field for edit in edits if edit.over and edit.over != draft.digest(edit.field)]
        await _open(client, body, forms.edit_form(value.session_id, draft, typed=entered, contested=contested))

    async def open_comment(self, ack: AsyncAck, body: Body, client: AsyncWebClient) -> None:
        """ "Add a comment" on a filed ticket."""
        await ack()
        value = parse_value(body["actions"][0].get("value"))
        cards = await self._desk.outbox.cards(value.session_id) if value else []
        posted_at = (body.get("message") or {}).get("ts") or (body.get("container") or {}).get("message_ts")
        card = next((card for card in cards if card.posted and posted_at in card.posted.ts and card.filing == "filed"), None)
        if value is None or card is None:
            await tell(client, body, GONE if value else OLD_BUTTON)
            return
        await _open(client, body, forms.comment_form(value.session_id, card.key))

    async def save_comment(self, ack: AsyncAck, body: Body, view: Body) -> None:
        """Makes a comment durable before the form is closed."""
        try:
            session_id, ticket, text = forms.read_comment(view)
        except ValueError:
            await ack(
                response_action="errors", errors=_everywhere(view, "This form is of an older version of me: open it anew.")
            )
            return
        said = {"kind": "errand", "kind_of": "comment", "ticket": ticket, "user": body["user"]["id"], "text": text}
        try:
            await self._desk.outbox.send(_submission(body, view), session_id, "", said)
        except Exception:
            log.exception("a comment could not be saved")
            wrong = "I could not save this just now, and nothing is lost: press Add again."
            await ack(response_action="errors", errors=_everywhere(view, wrong))
            return
        await ack()

    async def save_form(self, ack: AsyncAck, body: Body, view: Body) -> None:
        """Checks the form against the draft as it is now, and makes what its author changed durable before it is closed."""
        try:
            edited = forms.Edited(view)
        except ValueError:
            await ack(
                response_action="errors", errors=_everywhere(view, "This form is of an older version of me: open it anew.")
            )
            return
        standing = await self._desk.sessions.standing(edited.session_id)
        if standing is None or (ended := _ended(standing)):
            reason = GONE if standing is None else ended
            await ack(response_action="update", view=_notice("Not saved", f"{reason} What you entered:", _entered(view)))
            return
        draft = _draft(standing)
        operations, conflicts = edited.operations(draft)
        if conflicts:
            mine = {
                operation.field: forms.joined(operation.field, operation.value)
                for operation in operations
                if operation.field != "attachments"
            }
            form = forms.edit_form(edited.session_id, draft, typed={**mine, **conflicts}, contested=conflicts)
            await ack(response_action="update", view=form)
            return
        errors = {}
        for operation in operations:
            _, problems = apply(draft, [operation], {})
            if problems:
                errors[operation.field] = problems[0]
        if errors:
            await ack(response_action="errors", errors=errors)
            return
        if operations:
            event_id = _submission(body, view)
            channel, _ = thread_of(edited.session_id)
            said = Reply(text=_in_words(operations), by=body["user"]["id"], edits=operations)
            event = Event(
                event_id=event_id, session_id=edited.session_id, origin=channel, surface={"kind": "form"}, answer=said
            )
            if not await self._kept(event):
                wrong = "I could not save this just now, and nothing is lost: press Save again."
                await ack(response_action="errors", errors=_everywhere(view, wrong))
                return
        await ack()

    async def _kept(self, event: Event) -> bool:
        try:
            await self._desk.accept(event)
        except Exception:
            log.exception("a form could not be saved")
            return False
        return True

    async def show_evidence(self, ack: AsyncAck, body: Body, client: AsyncWebClient) -> None:
        """Who said what the draft holds, whole."""
        await ack()
        value = parse_value(body["actions"][0].get("value"))
        standing = await self._desk.sessions.standing(value.session_id) if value else None
        if standing is None:
            await tell(client, body, GONE if value else OLD_BUTTON)
            return
        evidence = [Evidence.model_validate(one) for one in standing.state.get("draft", {}).get("evidence", [])]
        lines = [f"{blocks.quoted(one)} <@{one.author}>" for one in evidence]
        shown = [blocks.section(line) for line in lines[:95]] or [blocks.section("Nothing in this draft rests on a message.")]
        view = {"type": "modal", "title": blocks.plain("Who said what"), "close": blocks.plain("Close"), "blocks": shown}
        await _open(client, body, view)

    # --- Commands and shortcuts --------------------------------------------------------------------------------------

    async def command(self, ack: AsyncAck, body: Body, context: AsyncBoltContext, client: AsyncWebClient) -> None:
        """`/signoff`, with help, status, new or setup."""
        word = command_word(body)
        match word:
            case "new":
                await ack("I start a ticket here." if context.get("taken") else "You asked me that already.")
            case "status":
                await ack(**await self._status(body, _team(context)))
            case "setup":
                await ack()
                await self._setup(body, _team(context), client)
            case "" | "help":
                await ack(HELP)
            case _:
                await ack(f"I do not know `{escape(word[:40])}`.\n{HELP}")

    async def _status(self, body: Body, team: str) -> dict[str, Any]:
        """What waits for the one who asks, with links."""
        workspace, user = await self._desk.workspaces.of(team), body["user_id"]
        waiting = await self._desk.sessions.unsettled(workspace.team)
        others = {_place(standing)[0] for standing in waiting if standing.state.get("requester") != user}
        member = await asyncio.gather(*(_is_member(workspace, channel, user) for channel in others))
        readable = {channel for channel, is_member in zip(others, member, strict=True) if is_member}
        mine = []
        for standing in waiting:
            channel, ts = _place(standing)
            requested = standing.state.get("requester") == user
            waits = _waits_for(standing, requested)
            if waits and (requested or channel in readable):
                where = workspace.permalink(channel, ts)
                title = standing.state.get("draft", {}).get("title") or "A ticket without a title"
                mine.append(f"• {link(where, title)}: {waits}")
            if len(mine) == 20:
                mine.append("• and more.")
                break
        text = "\n".join(["*This waits for you:*", *mine]) if mine else "Nothing waits for you."
        return {"text": text, "blocks": [blocks.section(piece) for piece in blocks.pieces(text)]}

    async def _setup(self, body: Body, team: str, client: AsyncWebClient) -> None:
        channel = body["channel_id"]
        acted = {"user": {"id": body["user_id"]}, "channel": {"id": channel}, "trigger_id": body["trigger_id"]}
        if channel.startswith("D"):
            await tell(client, acted, "Direct messages follow a channel's settings: use /signoff setup in a channel.")
            return
        if self._desk.settings.fixed(channel):
            await tell(client, acted, "This channel is settled in the settings file, so it cannot be changed here.")
            return
        setting, home = await self._desk.settings.of(team, channel), await self._desk.settings.home(team) == channel
        await _open(client, acted, forms.setup_form(team, channel, setting, self._desk.trackers, home=home))

    async def save_setup(self, ack: AsyncAck, body: Body, view: Body) -> None:
        """Keeps what was settled, if its author may, and has the channel's open cards follow it."""
        try:
            team, channel, setting, home, wrong = forms.read_setup(view)
        except ValueError:
            await ack(
                response_action="errors", errors=_everywhere(view, "This form is of an older version of me: open it anew.")
            )
            return
        if not wrong and (refused := await self._may_settle(body, team, channel)):
            wrong = _everywhere(view, refused)
        if wrong:
            await ack(response_action="errors", errors=wrong)
            return
        settings, user = self._desk.settings, body["user"]["id"]
        await settings.store(team, channel, setting, user)
        following = await self._desk.sessions.with_open_card(team, f"{channel}:")
        if home or await settings.home(team) == channel:
            await settings.set_home(team, channel if home else "", user)
            following += await self._desk.sessions.with_open_card(team, "D")  # direct messages
        for session_id in following:
            await self._desk.accept(
                Event(
                    event_id=f"{_submission(body, view)}:{session_id}",
                    session_id=session_id,
                    origin=thread_of(session_id)[0],
                    surface={"kind": "settled"},
                    answer=Reply(by=user, addressed=False),
                )
            )
        await ack()

    async def _may_settle(self, body: Body, team: str, channel: str) -> str:
        """Why somebody may not change the settings; empty for approvers and the workspace's admins."""
        workspace, person = await self._desk.workspaces.of(team), body["user"]
        who = Person(person["id"], person.get("team_id") or "")
        rule = (await self._desk.settings.of(team, channel)).approvers
        verdict = await approvers.verdict(workspace, rule, channel, who, requester="")
        if verdict.allowed:
            return ""
        try:
            user = await workspace.user(person["id"])
        except UNANSWERED:
            user = {}
        admin = (user.get("is_admin") or user.get("is_owner")) and not approvers.outside(workspace, user, who)
        return "" if admin else f"Only who may approve here, or an admin, may change this: {verdict.why}"

    async def shortcut(self, ack: AsyncAck) -> None:
        """ "Draft a ticket from this thread": durable already, and answered in the thread."""
        await ack()

    async def home_opened(self, body: Body, client: AsyncWebClient) -> None:
        """Somebody opened the conversation with the agent: prompts to begin with."""
        event = body["event"]
        if event.get("tab") == "messages" and event.get("channel"):
            try:
                await client.assistant_threads_setSuggestedPrompts(channel_id=event["channel"], prompts=PROMPTS)
            except UNANSWERED as error:
                log.info("no suggested prompts: %s", error)


_ANY = re.compile(".*")


async def _acknowledge(ack: AsyncAck) -> None:
    await ack()


async def _old_button(ack: AsyncAck, body: Body, client: AsyncWebClient) -> None:
    await ack()
    if body.get("actions", [{}])[0].get("type") == "button":
        await tell(client, body, OLD_BUTTON)


async def _old_form(ack: AsyncAck, view: Body) -> None:
    await ack(
        response_action="update",
        view=_notice("Not saved", "That form is of an older version of me. What you entered:", _entered(view)),
    )


async def _open(client: AsyncWebClient, body: Body, view: forms.View) -> None:
    try:
        await client.views_open(trigger_id=body["trigger_id"], view=view)
    except UNANSWERED as error:
        if not isinstance(error, SlackApiError) or named(error) not in (
            "expired_trigger_id",
            "exchanged_trigger_id",
            "invalid_trigger_id",
        ):
            log.warning("a form could not be opened: %s", error)
        await tell(client, body, TOO_LATE)


async def _is_member(workspace: Workspace, channel: str, user: str) -> bool:
    try:
        async with asyncio.timeout(MEMBERS_SECONDS):
            return user in await workspace.members(channel)
    except UNANSWERED:
        return False


def _team(context: AsyncBoltContext) -> str:
    """The workspace that the app acts in; an organisation's payload may name another."""
    assert context.authorize_result
    return context.authorize_result.team_id or ""


def _place(standing: Standing) -> tuple[str, str]:
    """The channel and the message where a session is to be seen: its card, or else where it begins."""
    return (standing.posted.channel, standing.posted.ts[-1]) if standing.posted else thread_of(standing.session_id)


def _waits_for(standing: Standing, requested: bool) -> str:
    """What a session waits for, if it is for this person."""
    match from_hitl(standing.pending.request) if standing.pending else None:
        case PreviewRequest() as request:
            return f"a decision on version {request.version}, `{request.draft_hash[:SHORT]}`"
        case AskRequest() as request if requested:
            return f"an answer: {escape(request.questions[0].text)}"
    return ""


def _ended(standing: Standing) -> str:
    """Why a session's draft cannot be changed any more; empty if it can."""
    outcome = standing.state.get("outcome") or {}
    if outcome.get("status") == "filed":
        return FILED
    pending = from_hitl(standing.pending.request) if standing.pending else None
    return BEING_FILED if isinstance(pending, FileRequest) else ""


def _draft(standing: Standing) -> TicketDraft:
    return TicketDraft.model_validate(standing.state.get("draft", {}))


def _in_words(operations: list[Any]) -> str:
    return "\n".join(f"{operation.field}: {', '.join(operation.value)}" for operation in operations)


def _everywhere(view: Body, text: str) -> dict[str, str]:
    """An error for a whole form, shown at its first input."""
    first = next(
        (block["block_id"] for block in view["blocks"] if block.get("type") == "input" and "block_id" in block), "form"
    )
    return {first: text}


def _submission(body: Body, view: Body) -> str:
    """The key of what a form said: the same form saved again with other values is another event."""
    values = json.dumps(view["state"], sort_keys=True)
    return f"{team_of(body)}:view:{view['id']}:{hashlib.sha256(values.encode()).hexdigest()[:12]}"


def _entered(view: Body) -> str:
    """What somebody typed into a form that cannot be taken, so that it can be copied."""
    values = view.get("state", {}).get("values", {})
    texts = [str(state.get("value")) for actions in values.values() for state in actions.values() if state.get("value")]
    return "\n\n".join(texts)


def _notice(title: str, text: str, kept: str) -> forms.View:
    shown = [blocks.section(escape(text)), *(blocks.preformatted(piece) for piece in blocks.pieces(kept) if piece)]
    return {"type": "modal", "title": blocks.plain(title), "close": blocks.plain("Close"), "blocks": shown}
