"""The conversations that are killed at each point they come by: what people do, and what must have come of it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from tests.e2e.test_listening import SAID, listens
from tests.model_sim import model_in_thread
from tests.reliability.world import COMPLETE, Terminal, Workspace, World

FORBIDDEN = {"message": "Resource not accessible by personal access token", "documentation_url": "x", "status": "403"}


@dataclass(frozen=True)
class Flow:
    """A conversation to play."""

    name: str
    kind: type[World]
    play: Callable[[Any], Awaitable[None]]
    outside: bool = True
    """The ticket goes to GitHub, not into Signoff's own table."""
    tickets: int = 1
    """How many there must be in the end."""
    deaths: int = 0
    """How many processes die without any fault of a case."""


async def terminal(here: Terminal) -> None:
    """A message, its card, an approval, a ticket."""
    await here.start()
    await here.types(COMPLETE)
    await here.types("/approve", "preview")
    await here.files()


async def rejected(here: Terminal) -> None:
    """A rejection, an edit, and the card that comes of it is approved."""
    await here.start()
    await here.types(COMPLETE)
    await here.types("/reject too vague", "preview")
    await here.types("/edit title=Exports fail in Safari", "question")
    await here.until(
        lambda: any("Safari" in show["sealed"]["title"] for show in here.process.of_kind("preview")), "the new card"
    )
    await here.types("/approve", "preview")
    await here.files()


async def listening(here: Terminal) -> None:
    """A model listens."""
    with model_in_thread(listens) as model:
        here.environ |= {"SIGNOFF_MODEL": "openai:any", "SIGNOFF_MODEL_URL": model.url, "SIGNOFF_MODEL_TIMEOUT": "10"}
        await here.start()
        await here.types(SAID)
        await here.types("/approve", "preview")
        await here.files()
        await here.finish()


async def same(here: Terminal) -> None:
    """The ticket is there already, and is linked."""
    fault, here.fault = here.fault, ""
    here.session = "before"
    await here.start()
    await here.types(COMPLETE)
    await here.types("/approve", "preview")
    await here.files()
    await here.finish()
    here.session, here.fault = "one", fault
    here.processes.clear()
    await here.start()
    await here.types(COMPLETE)
    await here.types("/same LOCAL-1", "preview")
    await here.sees("decision")


async def first(here: Terminal) -> None:
    """The database is a new one."""
    here.asked(lambda connection: connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public"))
    await here.start()
    await here.until(lambda: here.rows("SELECT FROM pg_tables WHERE tablename = 'inbox'"), "the tables")
    await here.types(COMPLETE)
    await here.types("/approve", "preview")
    await here.files()


async def taken_over(here: Terminal) -> None:
    """A terminal dies in a turn, and the next one takes the job over."""
    fault, here.fault = here.fault, "turn-committing=crash"
    await here.start()
    here.fault = fault
    await here.types(COMPLETE)
    await here.types("/approve", "preview")
    await here.files()


async def unanswered(here: Terminal) -> None:
    """No answer comes, nobody finds it, and a person names the ticket."""
    here.github.list_lag = 3600
    here.proxy.plan("drop_reply", path=r"/issues$")
    await here.start()
    await here.types(COMPLETE)
    await here.types("/approve", "preview")
    await here.sees("unsettled")
    await here.types("/there acme/web#1", "unsettled")
    await here.files()


async def found(here: Terminal) -> None:
    """No answer comes, and the ticket is found."""
    here.proxy.plan("drop_reply", path=r"/issues$")
    await here.start()
    await here.types(COMPLETE)
    await here.types("/approve", "preview")
    await here.files()


async def refused(here: Terminal) -> None:
    """The tracker refuses, and somebody has it filed again."""
    here.github.answer(403, FORBIDDEN, method="POST")
    await here.start()
    await here.types(COMPLETE)
    await here.types("/approve", "preview")
    await here.sees("unsettled")
    here.github.heal()
    await here.types("/again", "unsettled")
    await here.files()


async def paused(here: Terminal) -> None:
    """The tracker wants a pause."""
    here.proxy.plan("429", path=r"/issues$", seconds=1)
    await here.start()
    await here.types(COMPLETE)
    await here.types("/approve", "preview")
    await here.files()


async def slack(here: Workspace) -> None:
    """A mention, its card, a click, a ticket, the card shows it."""
    await here.start()
    await here.says(COMPLETE)
    await here.decides(await here.sees("Create in", "approve_draft"), "approve_draft")
    await here.files()


async def by_form(here: Workspace) -> None:
    """The draft is edited by a form."""
    await here.start()
    await here.says(COMPLETE)
    card = await here.sees("Create in", "approve_draft")
    title = {"title": "Exports fail"}
    await here.form(lambda: here.slack.click("U2BOB", card, "request_changes"), title)
    here.acknowledged += 1
    await here.decides(await here.sees("Exports fail", "approve_draft"), "approve_draft")
    await here.files()


async def slack_rejected(here: Workspace) -> None:
    """The card is discarded, somebody says what to change, and the next one is approved."""
    await here.start()
    await here.says(COMPLETE)
    await here.decides(await here.sees("Create in", "approve_draft"), "reject_draft")
    await here.sees("", "fill_in")
    await here.says("Title: Exports fail")
    await here.decides(await here.sees("Exports fail", "approve_draft"), "approve_draft")
    await here.files()


async def slack_same(here: Workspace) -> None:
    """There is such a ticket: the conversation is linked to it by a click."""
    here.github.add_issue("acme/web", "Export fails")
    await here.start()
    await here.says(COMPLETE)
    await here.sees("Create in", "approve_draft")
    offer = await here.sees("There may be such a ticket", "same_as:0")
    await here.decides(offer, "same_as:0")
    await here.until(lambda: here.rows("SELECT FROM approvals WHERE status = 'rejected'"), "the link")


async def slack_unanswered(here: Workspace) -> None:
    """The ticket never arrives, nobody can know, and a person has it filed again."""
    here.proxy.plan("drop_request", path=r"/issues$", method="POST")
    await here.start()
    await here.says(COMPLETE)
    await here.decides(await here.sees("Create in", "approve_draft"), "approve_draft")
    asked = await here.sees("Nobody can tell", "file_again")
    here.proxy.heal()
    await here.decides(asked, "file_again")
    await here.files()


async def hiccups(here: Workspace) -> None:
    """Slack does things and does not say so, and somebody clicks too late."""
    here.slack.drop_reply("chat.postMessage", times=2)
    here.slack.drop_reply("chat.update")
    await here.start()
    await here.says(COMPLETE)
    card = await here.sees("Create in", "approve_draft")
    await here.decides(card, "approve_draft")
    await here.decides(card, "approve_draft", "U1ANN")
    await here.files()
    await here.until(lambda: here.slack.ephemerals("U1ANN"), "an answer")


async def direct(here: Workspace) -> None:
    """A direct message; what is whispered there cannot be shown, and is said in a message of its own."""
    here.slack.fail("chat.postEphemeral", "user_not_in_channel", times=1000)
    await here.start()
    here.channel = here.slack.im_with("U1ANN", here.slack.workspaces[0]).id
    await here.does(lambda: here.slack.open_home("U1ANN"))
    await here.says(COMPLETE)
    card = await here.sees("Create in", "approve_draft")
    await here.decides(card, "approve_draft", "U1ANN")
    await here.decides(card, "approve_draft", "U1ANN")
    await here.files()
    await here.until(
        lambda: any("Already approved" in one.text for one in here.slack.channel_messages(here.channel) if one.root == one.ts),
        "an answer",
    )


async def shortened(here: Workspace) -> None:
    """A card of several messages, with a file, becomes a card of one."""
    here.slack.add_file("F1LOG", "export.log", b"500\n", "text/plain")
    await here.start()
    await here.says(COMPLETE.replace("It answers 500.", "It answers 500 again. " * 600), files=["F1LOG"])
    await here.sees("Create in", "approve_draft")
    await here.says("Problem: It answers 500.")
    await here.decides(await here.sees("Changed since", "approve_draft"), "approve_draft")
    await here.files()


async def command(here: Workspace) -> None:
    """A slash command."""
    await here.start()
    await here.does(lambda: here.slack.command("U1ANN", "C1OPS", "/signoff", "new " + COMPLETE))

    def begun() -> Any:
        ours = [one for one in here.slack.channel_messages("C1OPS") if one.user == here.slack.bot_user]
        return [one for one in ours if one.root == one.ts]

    here.thread = (await here.until(begun, "a thread"))[0].ts
    await here.decides(await here.sees("Create in", "approve_draft"), "approve_draft")
    await here.files()


async def commented(here: Workspace) -> None:
    """A ticket is filed, and somebody comments on it."""
    await slack(here)
    card = await here.sees("", "comment")
    await here.form(lambda: here.slack.click("U2BOB", card, "comment"), {"text": "Seen again today."})
    await here.sees("commented on")
    assert len(here.github.issues[0].comments) == 1, "it is one comment"


async def settled(here: Workspace) -> None:
    """The channel's settings change, and its open card follows them."""
    await here.start()
    await here.says(COMPLETE)
    await here.sees("Create in", "approve_draft")
    await here.form(
        lambda: here.slack.command("U0ADA", "C1OPS", "/signoff", "setup"), {"tracker": "local", "project": "PLAT"}, "U0ADA"
    )
    here.acknowledged += 1
    await here.decides(await here.sees("Create in PLAT", "approve_draft"), "approve_draft")
    await here.files()


FLOWS = [
    Flow("terminal", Terminal, terminal, outside=False),
    Flow("rejected, then edited", Terminal, rejected, outside=False),
    Flow("a model listens", Terminal, listening, outside=False),
    Flow("it is that ticket", Terminal, same, outside=False),
    Flow("a new database", Terminal, first, outside=False),
    Flow("its job is taken over", Terminal, taken_over, outside=False, deaths=1),
    Flow("no answer, named by a person", Terminal, unanswered),
    Flow("no answer, found", Terminal, found),
    Flow("refused, filed again", Terminal, refused),
    Flow("a pause is wanted", Terminal, paused),
    Flow("Slack", Workspace, slack),
    Flow("Slack: edited by form", Workspace, by_form),
    Flow("Slack: rejected, then changed", Workspace, slack_rejected),
    Flow("Slack: it is that ticket", Workspace, slack_same),
    Flow("Slack: no answer, filed again", Workspace, slack_unanswered),
    Flow("Slack: lost answers, a late click", Workspace, hiccups),
    Flow("Slack: a direct message", Workspace, direct),
    Flow("Slack: a shorter card, a file", Workspace, shortened),
    Flow("Slack: a command", Workspace, command),
    Flow("Slack: a comment", Workspace, commented),
    Flow("Slack: settings", Workspace, settled, outside=False),
]
