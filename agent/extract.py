"""The node `extract`: takes in what was said, as orders, choices and edits by rule, and as words by whoever listens."""

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, RemoveMessage

from agent.draft import TEXT_LIMIT, Conflict, TicketDraft, clean
from agent.interview import NO_APPROVAL
from agent.listening import NEW_CHARACTERS, Intent, newest
from agent.operations import Operation, Source, apply, by_hand
from agent.orders import NO, Order, chosen, order_in, type_in
from agent.protocol import Question, Reply
from agent.quotes import find
from agent.reading import CUT, SAYS, Listener, Reader, Reading
from agent.state import State, to_message, to_reply, window

EMPTY = "That message was empty, so nothing changed: say what the ticket is about."
AS_IT_WAS = "Nothing changed: it said that already."
NOTHING_FOUND = "I found nothing in that to change the draft by."
SETTLED = "That question is settled by now, so nothing changed."
NOTHING_TO_LOSE = "There is no draft yet: say what the ticket is about."
STARTED_OVER = "The draft is dropped."
NOT_YOURS = "Only who asked for this ticket can drop its draft; until somebody approves it, nothing is filed."
LEFT_OPEN = "Left open: {fields}."
KEPT_ON = "The draft stays as it is."
RESET = {
    name: field.get_default(call_default_factory=True)
    for name, field in State.model_fields.items()
    if name
    not in (
        "messages",
        "event_id",
        "show",
        "calls",
        "quiet",
        "unheard",
        "destination",
        "project",
        "undescribed",
        "spent",
        "spent_told",
    )
}
"""The state's fields as they are at the start of a ticket."""


class Extract:
    """The node, with who listens."""

    def __init__(self, listener: Listener) -> None:
        self._guided, self._reader = listener.guided, Reader(listener)

    async def __call__(self, state: State) -> dict[str, Any]:
        """Takes in the newest message: cleans it, has it read, and applies what it changes."""
        if not (said_last := [message for message in state.messages if isinstance(message, HumanMessage)]):
            return {"calls": []}  # started without a message: only `decide` has something to do
        reply = to_reply(said_last[-1])
        update: dict[str, Any] = {"event_id": reply.event_id, "show": False, "calls": [], "unheard": True, "quiet": False}
        if reply.amends:
            return update | {"quiet": True} | _amended(state, reply)
        replies = [*reply.thread, reply.model_copy(update={"thread": []})]
        if state.over:
            if (started := _started(state, reply)) is None:
                return update | {"quiet": not (reply.addressed or order_in(reply))}
            replies, update = started, update | RESET | {"unheard": False}
        requester = state.model_copy(update=update).requester or reply.by
        update |= {"requester": requester, **_settled(state.model_copy(update=update), reply)}
        before = [message for message in state.messages if message.id != reply.event_id]
        taking = _Taking(state.model_copy(update=update), before, reply)
        await self._take_all(taking, replies)
        return {**update, **taking.result()}

    async def _take_all(self, taking: "_Taking", replies: Sequence[Reply]) -> None:
        to_read = []
        for one in taking.newest(replies):
            heard = taking.cleaned(one)
            if not taking.takes(heard):
                if self._guided:
                    await self._read(taking, [heard])
                else:  # a model reads them all at once
                    to_read.append(heard)
            taking.keep(heard)
        if to_read:
            await self._read(taking, to_read)

    async def _read(self, taking: "_Taking", replies: list[Reply]) -> None:
        ids = {one.event_id for one in replies}
        known = [message for message in taking.window() if message.id not in ids]
        reading = await self._reader.read(taking.now(messages=known), replies, taking.event_id)
        taking.read(reading, replies[-1], guided=self._guided)


class _Taking:
    """What an event changes in the state, while its replies are taken in one by one."""

    def __init__(self, state: State, before: Sequence[AnyMessage], main: Reply) -> None:
        self.event_id = main.event_id
        self._state, self._before, self._main = state, before, main
        self._update: dict[str, Any] = {"wish": ""}
        self._messages: list[AnyMessage] = []
        self._said: list[str] = []
        self._unheard, self._speaks = state.unheard, False

    def now(self, **update: Any) -> State:
        """The state as it is by now."""
        return self._state.model_copy(update={**self._update, **update})

    def window(self) -> list[AnyMessage]:
        """The messages that are known by now."""
        return window(self._before, self._messages)

    def result(self) -> dict[str, Any]:
        """All of it, for the state."""
        show = bool(self._update.get("show"))
        quiet = self._unheard and not (show or self._main.addressed or self._speaks)
        if quiet:  # what people say to each other answers nothing: it is still to be confirmed
            self._update["wish"] = self._state.wish
        said = [AIMessage("\n".join(self._said), id=f"{self.event_id}:say")] if self._said else []
        return {**self._update, "unheard": self._unheard, "quiet": quiet, "messages": [*self._messages, *said]}

    def newest(self, replies: Sequence[Reply]) -> list[Reply]:
        """The last of the replies that can be read together; what is left out is said."""
        kept = newest(replies, NEW_CHARACTERS, lambda one: len(one.text), at_least=1)
        if left := self._main.left_out + len(replies) - len(kept):
            self._said.append(CUT.format(read=len(kept), left=left))
        return kept

    def cleaned(self, reply: Reply) -> Reply:
        """The reply without what nobody can see."""
        text, removed = clean(reply.text)
        if removed and reply.addressed:
            what = f"{removed} invisible character{'s' * (removed > 1)}"
            self._said.append(f"I took {what} out of that message; the rest is kept.")
        return reply.model_copy(update={"text": text})

    def keep(self, reply: Reply) -> None:
        """Puts the reply into the window."""
        text = reply.text
        if len(text) > TEXT_LIMIT:
            text = text[:TEXT_LIMIT] if reply.edits else text[:200] + " …"
        self._messages.append(to_message(Reply(text=text, **_carried(reply))))

    def takes(self, reply: Reply) -> bool:
        """Takes a reply whose meaning is plain; False if its words have to be read."""
        taken = self._takes_words(reply)
        if reply.files:
            draft = self.now().draft
            known = {file.id for file in draft.attachments}
            new = [file for file in reply.files if file.id not in known]
            version = draft.version + (draft is self._state.draft)
            self._update["draft"] = draft.model_copy(update={"attachments": [*draft.attachments, *new], "version": version})
            self._unheard = False
        return taken

    def _takes_words(self, reply: Reply) -> bool:
        asked = self._state.asking
        if reply.edits:
            self._edit(reply)
        elif len(reply.text) > TEXT_LIMIT:
            self._say(
                reply,
                f"That message has {len(reply.text):,} characters and I read {TEXT_LIMIT:,} at a time, so it changed nothing: "
                "send the essentials, or send it in parts.",
            )
        elif found := chosen(reply, asked, self._state.requester):
            self._choose(reply, *found)
        elif reply.question:
            self._say(reply, SETTLED)
        elif order := order_in(reply):
            return self._obeys(order, reply)
        elif not reply.quoted and (kind := type_in(reply.text)) and not (asked and asked[0].field):
            self._change(
                reply, [Operation(field="issue_type", value=[kind], message=reply.event_id)], {reply.event_id: _source(reply)}
            )
        elif reply.text.strip():
            return False
        elif not (reply.files or reply.setting):
            self._say(reply, EMPTY)
        return True

    def _say(self, reply: Reply, text: str) -> None:
        if reply.addressed:
            self._said.append(text)

    def _edit(self, reply: Reply) -> None:
        self._change(reply, *by_hand(reply.edits, _source(reply)))

    def _change(self, reply: Reply, edits: Sequence[Operation], sources: Mapping[str, Source]) -> None:
        draft = self.now().draft
        self._update["draft"], problems = apply(draft, edits, sources)
        changed = self._update["draft"] is not draft
        self._unheard = self._unheard and not changed
        if changed or reply.addressed:
            self._said += problems or ([] if changed else [AS_IT_WAS])

    def _choose(self, reply: Reply, question: Question, option: str) -> None:
        self._unheard, self._speaks = False, True
        state = self.now()
        if question.about == "conflict":
            conflict = next((one for one in state.draft.conflicts if one.field == question.field), None)
            self._update["draft"] = _decided(state.draft, conflict, option, reply) if conflict else state.draft
        elif option == NO:
            self._said.append(KEPT_ON)
        elif reply.by != state.requester:
            self._update["wish"] = question.about
            self._said.append(NOT_YOURS)
        else:
            again = question.about == "start over"
            fresh = RESET | {"requester": reply.by, "closed": "" if again else "forgotten"}
            self._update |= fresh | _settled(state.model_copy(update=fresh), reply)
            self._said += [STARTED_OVER] if again else []

    def _obeys(self, order: Order, reply: Reply) -> bool:
        """Does what an order asks for; False if it is only talk."""
        mine = reply.addressed or reply.by == self.now().requester
        match order:
            case "show" | "new":  # the next ticket is begun already
                self._update["show"], self._unheard = True, False
            case "approve":
                self._point(reply)
            case "start over" | "forget" if mine:
                self._wish(order)
            case _:
                return False
        return True

    def _wish(self, order: Order) -> None:
        self._unheard, self._speaks = False, True
        draft = self.now().draft
        if draft.title or draft.problem:
            self._update["wish"] = order
        else:
            self._said.append(NOTHING_TO_LOSE)

    def _point(self, reply: Reply) -> None:
        """Says where the button is: to who speaks to the agent, and else once for each card."""
        state = self.now()
        card = state.preview.preview_id if state.preview and state.card_open else ""
        if reply.addressed or card not in ("", state.pointed):
            self._said.append(NO_APPROVAL)
            self._update["pointed"] = card
            self._unheard, self._speaks = False, True

    def read(self, reading: Reading, last: Reply, *, guided: bool) -> None:
        """Takes what was read; `last` is the reply that its intent is about."""
        before = self.now().draft
        changed = reading.draft is not before
        unread = reading.unread if reading.taken_over else []
        self._update |= {"draft": reading.draft, "calls": reading.calls, "unread": unread, "missed": reading.missed}
        self._update |= {"spent": reading.spent, "spent_told": reading.spent_told}
        self._unheard = self._unheard and not changed
        said = list(reading.said)
        if reading.operated and not changed and not said:
            said.append(AS_IT_WAS)
        mine = last.addressed or last.by == self.now().requester
        left = [name for name in reading.draft.skipped if name not in before.skipped]
        if left and self._state.card_open and reading.draft.content() == before.content():
            said.append(LEFT_OPEN.format(fields=", ".join(left).replace("_", " ")))
        if not guided and not reading.taken_over and reading.intent == "approval":
            self._point(last)
        elif not guided and not reading.taken_over and mine:
            self._mean(reading.intent, last)
            if reading.answered and (reading.intent == "question" or (reading.intent == "small_talk" and last.addressed)):
                said.append(SAYS.format(reply=reading.answered))
                self._unheard, self._speaks = False, True
            if self._unheard and not said and not self._said and self._state.card_open:
                said.append(NOTHING_FOUND)
        if last.addressed or not self._unheard:
            self._said += said

    def _mean(self, intent: Intent, reply: Reply) -> None:
        """Does what a model takes a reply for, if it was said to the agent: talk is cheap, and a model may be fooled."""
        if intent == "show" and reply.addressed:
            self._update["show"], self._unheard = True, False
        elif intent in ("start_over", "forget") and reply.addressed:
            self._obeys("start over" if intent == "start_over" else "forget", reply)


def _carried(reply: Reply) -> dict[str, Any]:
    """What the window remembers of a reply beside its text: who said it, and where it stands."""
    return reply.model_dump(include={"by", "event_id", "permalink", "addressed", "show", "quoted"})


def _amended(state: State, reply: Reply) -> dict[str, Any]:
    """A mark on the evidence that rests on a message which is no longer what it was; one that was deleted is read no more."""
    marked = [
        evidence.model_copy(update={"changed": reply.amends}) if evidence.message == reply.about else evidence
        for evidence in state.draft.evidence
    ]
    same = marked == state.draft.evidence
    gone = {reply.event_id, *([reply.about] if reply.amends == "deleted" else [])}
    return {
        "draft": state.draft if same else state.draft.model_copy(update={"evidence": marked}),
        "messages": [RemoveMessage(id=str(message.id)) for message in state.messages if message.id in gone],
        "unread": [one for one in state.unread if one.event_id not in gone],
    }


def _decided(draft: TicketDraft, conflict: Conflict, option: str, reply: Reply) -> TicketDraft:
    """The draft with one side of a conflict, said by whoever said it first and by who decided."""
    side = next(one for one in conflict.sides if one.value == option)
    op: dict[str, Any] = {"op": "set", "value": [option]}
    if conflict.field == "constraints":
        held = next(one.value for one in conflict.sides if one.value in draft.items("constraints"))
        op = {"op": "replace", "value": [option], "old": held}
    after, _ = apply(draft, *by_hand([Operation(field=conflict.field, **op)], _source(reply)))
    said = [one for one in after.evidence if one.message != reply.event_id or find(reply.text, one.quote)]  # a number says none
    return after.model_copy(update={"evidence": [*said, side]})


def _source(reply: Reply) -> Source:
    return Source(id=reply.event_id, author=reply.by, text=reply.text, permalink=reply.permalink)


def _settled(state: State, reply: Reply) -> dict[str, Any]:
    """Where the ticket goes, and for a new one what it starts with, as the place has settled it."""
    if reply.setting is None:
        return {}
    setting = reply.setting
    known = state.project if setting.destination == state.destination else None
    update: dict[str, Any] = {"destination": setting.destination, "project": setting.project or known}
    update["undescribed"] = setting.problem
    if state.draft == TicketDraft():
        given = {field: [*value] if isinstance(value, list) else [value] for field in ("issue_type", "labels", "assignee")
                 if (value := getattr(reply.setting, field))}  # fmt: skip
        update["draft"], _ = apply(state.draft, [Operation(field=field, value=value) for field, value in given.items()], {})
    return update


def _started(state: State, reply: Reply) -> list[Reply] | None:
    """What the next ticket starts with, if the reply asks for one with *new*: what was kept, and the rest of the reply."""
    word, *rest = reply.text.split(maxsplit=1) or [""]
    if order_in(reply) != "new" and word.lower().rstrip(":.!,") != "new":
        return None
    said = "".join(rest).rjust(len(reply.text)) if rest else ""  # what is quoted stands where it stood in the message
    left = reply.model_copy(update={"text": said, "anew": False, "thread": []})
    return [*state.parked, *([left] if left.text or left.files else [])]
