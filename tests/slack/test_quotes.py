"""What is read along: messages that are linked or passed on, text files, and of a long thread the newest part."""

from typing import Any

import pytest

from agent.conversation import Conversation, Head
from agent.replay import replay
from persistence.history import read_steps
from skills.trackers import renderers
from slack_adapter import facts
from tests.slack.channel import COMPLETE, Channel, words
from tests.slack.listening import Scribe
from tests.slack_sim import Message


def link(ops: Channel, message: Message, workspace: str = "https://acme.slack.com/") -> str:
    inside = f"?thread_ts={message.thread_ts}&amp;cid={message.channel}" if message.thread_ts else ""
    return f"<{workspace}archives/{message.channel}/p{message.ts.replace('.', '')}{inside}>"


def share(message: Message, text: str, **more: Any) -> dict[str, Any]:
    """A message passed on, as Slack shows it."""
    about = {"is_share": True, "is_msg_unfurl": True, "channel_id": message.channel, "ts": message.ts, "text": text}
    return about | {"author_id": message.user, "fallback": f"[{text}]"} | more


async def heard(ops: Channel, scribe: Scribe, text: str, by: str = "U1ANN", **more: Any) -> list[dict[str, Any]]:
    """What the model is sent as new because of a message."""
    before = len(scribe.heard)
    await ops.slack.say(by, "C1OPS", f"<@{ops.slack.bot_user}> {text}", **more)
    await ops.until(lambda: scribe.heard[before:], "a call")
    await ops.quiet()
    return scribe.heard[before]


async def test_a_linked_message_is_read_along_and_asks_for_nothing(scribe: Scribe, ops: Channel) -> None:
    top = await ops.slack.say("U2BOB", "C1OPS", "something else")
    said = await ops.slack.say("U2BOB", "C1OPS", "environment: Safari 17", thread_ts=top.ts)
    other = await ops.slack.say("U2BOB", "C1OPS", "forget it")
    new = await heard(ops, scribe, f"title: Export fails\nproblem: see {link(ops, said)} and {link(ops, other)}")
    assert [(one["by"], one["text"], one.get("quoted", False)) for one in new[:2]] == [
        ("U2BOB", "environment: Safari 17", True),
        ("U2BOB", "forget it", True),
    ]
    assert not new[-1].get("quoted")
    assert new[0]["id"].endswith(":quoted:0")
    await ops.quiet()
    [row] = await ops.rows("SELECT state FROM sessions")
    assert "Safari 17" in row["state"]
    assert await ops.count("inbox") == 1 + 2  # the ids are the quotes' own: no message is taken for read
    assert [one["event_id"] for one in await ops.rows("SELECT event_id FROM inbox WHERE outcome = 'read before'")] == [
        one["id"] for one in new[:2]
    ]
    session = (await ops.rows("SELECT session_id FROM sessions"))[0]["session_id"]
    steps = await read_steps(ops.database.engine, session)
    assert await replay(Conversation(head=Head(session_id=session), steps=steps), renderers()) is None


@pytest.mark.parametrize("kind", ["private", "im", "mpim"])
@pytest.mark.parametrize("how", ["linked", "passed on", "in the thread"])
async def test_private_conversations_are_never_read(scribe: Scribe, ops: Channel, kind: str, how: str) -> None:
    ops.slack.add_channel("G1SECRET", "secret", ["U1ANN"], **{kind: True})
    secret = ops.slack.post("G1SECRET", text="risks: the secret plan", user="U1ANN", team="T1")
    text, more = f"title: T\nproblem: {link(ops, secret)}", {}
    if how == "passed on":
        text, more = "title: T", {"attachments": [share(secret, "risks: the secret plan")]}
    if how == "in the thread":
        top = await ops.slack.say("U2BOB", "C1OPS", text)
        text, more = "please", {"thread_ts": top.ts}
    await heard(ops, scribe, text, **more)
    assert not any("secret plan" in text for text in scribe.texts)
    asked = [call.arguments["channel"] for call in ops.slack.calls if call.method == "conversations.replies"]
    assert "G1SECRET" not in asked


async def test_a_private_channel_is_read_in_itself(scribe: Scribe, ops: Channel) -> None:
    ops.slack.add_channel("G1SECRET", "secret", ["U1ANN"], private=True)
    secret = await ops.slack.say("U1ANN", "G1SECRET", "risks: the secret plan")
    await ops.slack.say("U1ANN", "G1SECRET", f"<@{ops.slack.bot_user}> title: T\nproblem: {link(ops, secret)}")
    await ops.until(lambda: "risks: the secret plan" in scribe.texts, "it is read")


async def test_a_public_channel_is_read_for_who_could_read_it(scribe: Scribe, ops: Channel) -> None:
    ops.slack.add_channel("C2DEV", "dev", ["U4ZOE"])
    said = await ops.slack.say("U4ZOE", "C2DEV", "environment: staging")
    about = f"title: T\nproblem: {link(ops, said)}"
    assert (await heard(ops, scribe, about))[0]["text"] == "environment: staging"
    for text, more in ((about, {}), ("title: T", {"attachments": [share(said, "environment: staging")]})):
        assert len(await heard(ops, scribe, text, by="U3GUS", **more)) == 1  # a guest


async def test_a_channel_that_became_private_just_now_is_not_read(scribe: Scribe, ops: Channel) -> None:
    place = ops.slack.add_channel("C2DEV", "dev", ["U4ZOE"])
    said = await ops.slack.say("U4ZOE", "C2DEV", "environment: staging")
    about = f"title: T\nproblem: <#C2DEV> {link(ops, said)}"
    assert len(await heard(ops, scribe, about)) == 2
    place.private = True
    assert len(await heard(ops, scribe, about)) == 1


async def test_what_cannot_be_read_holds_up_nothing(scribe: Scribe, ops: Channel) -> None:
    outside = ops.slack.add_channel("C3OUT", "out", ["U4ZOE"], bot_is_member=False)
    there = ops.slack.post(outside.id, text="risks: out there", user="U4ZOE", team="T1")
    gone = await ops.slack.say("U2BOB", "C1OPS", "risks: gone")
    await ops.slack.delete(gone)
    said = await ops.slack.say("U2BOB", "C1OPS", "risks: elsewhere")
    links = [link(ops, there), link(ops, gone), link(ops, said, "https://evil.example/")]
    assert len(await heard(ops, scribe, f"title: T\nproblem: {' '.join(links)}")) == 1
    root = (await ops.top())[-1].ts
    ops.slack.rate_limit("conversations.replies", 30)
    assert len(await heard(ops, scribe, f"problem: {link(ops, said)}", thread_ts=root)) == 1


async def test_three_are_read_the_first_that_are_named(scribe: Scribe, ops: Channel) -> None:
    said = [await ops.slack.say("U2BOB", "C1OPS", f"risks: {n}") for n in range(5)]
    links = " ".join(link(ops, one) for one in [said[0], *said])
    new = await heard(ops, scribe, f"title: T\nproblem: {links}")
    assert [one["text"] for one in new[:-1]] == ["risks: 0", "risks: 1", "risks: 2"]


async def test_a_message_that_is_passed_on_is_quoted_and_not_said(scribe: Scribe, ops: Channel) -> None:
    said = await ops.slack.say("U2BOB", "C1OPS", "environment: Safari 17")
    replies = ops.slack.count("conversations.replies")
    new = await heard(ops, scribe, "title: T", attachments=[share(said, "environment: Safari 17")])
    assert [(one["by"], one.get("quoted", False)) for one in new] == [("U2BOB", True), ("U1ANN", False)]
    assert ops.slack.count("conversations.replies") == replies + 1  # the thread; what is passed on is in the message
    place = ops.slack.im_with("U1ANN", ops.slack.workspaces[0])
    before = len(scribe.heard)
    await ops.slack.say("U1ANN", place.id, "", attachments=[share(said, "environment: Firefox")])
    [only] = await ops.until(lambda: scribe.heard[before:], "a call")
    assert [(one["text"], one.get("quoted", False)) for one in only] == [("environment: Firefox", True)]


@pytest.mark.parametrize(
    "attachment", [{"is_share": True, "text": 5}, {"is_share": True, "channel_id": {}, "ts": [], "text": "x"}, {}]
)
async def test_odd_attachments_do_no_harm(scribe: Scribe, ops: Channel, attachment: dict[str, Any]) -> None:
    assert (await heard(ops, scribe, "title: T", attachments=[attachment, attachment]))[-1]["text"] == "title: T"


async def test_the_text_of_a_snippet_is_read(scribe: Scribe, ops: Channel) -> None:
    log = "environment: Safari 17\n" + "x" * 30_000
    ops.slack.add_file("F1", "trace.log", log.encode(), "text/plain", mode="snippet", user="U2BOB")
    new = await heard(ops, scribe, "title: T", files=["F1"])
    assert new[0]["by"] == "U2BOB"
    assert new[0]["quoted"]
    assert new[0]["id"].endswith(":file:0")
    assert new[0]["text"].startswith("environment: Safari 17\nxxx")
    assert len(new[0]["text"]) == 20_000
    [row] = await ops.rows("SELECT state FROM sessions")
    assert "trace.log" in row["state"]  # and it goes with the ticket, as any file


@pytest.mark.parametrize(
    ("name", "content", "kind", "about"),
    [
        ("big.log", b"x" * 100_001, "text/plain", {"mode": "snippet"}),
        ("lies.log", b"x" * 100_001, "text/plain", {"mode": "snippet", "size": 5}),
        ("a.png", b"pixels", "image/png", {}),
        ("page.html", b"<p>x</p>", "text/html", {"mode": "snippet"}),
        ("latin.txt", "é".encode("latin-1"), "text/plain", {}),
        ("zeros.txt", b"a\0b", "text/plain", {}),
        ("far.txt", b"x", "text/plain", {"url_private": "https://evil.example/x"}),
    ],
)
async def test_other_files_are_not_read_as_text(
    scribe: Scribe, ops: Channel, name: str, content: bytes, kind: str, about: dict[str, Any]
) -> None:
    ops.slack.add_file("F1", name, content, kind, **about)
    assert len(await heard(ops, scribe, "title: T", files=["F1"])) == 1


async def test_three_files_are_read_and_a_missing_scope_holds_up_nothing(scribe: Scribe, ops: Channel) -> None:
    names = [f"F{n}" for n in range(5)]
    for name in names:
        ops.slack.add_file(name, f"{name}.txt", name.encode(), "text/plain")
    assert [one["text"] for one in await heard(ops, scribe, "title: T", files=names)] == ["F0", "F1", "F2", "title: T"]
    ops.slack.scopes.remove("files:read")
    assert len(await heard(ops, scribe, "title: T", files=names)) == 1


async def test_of_a_long_thread_the_newest_is_read_and_it_is_said(
    scribe: Scribe, ops: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts, "THREAD_MESSAGES", 4)
    top = await ops.slack.say("U2BOB", "C1OPS", "title: Export fails")
    for n in range(9):
        await ops.slack.say("U2BOB", "C1OPS", f"risks: {n}", thread_ts=top.ts)
    new = await heard(ops, scribe, "please", thread_ts=top.ts)
    assert [one["text"] for one in new] == ["risks: 5", "risks: 6", "risks: 7", "risks: 8", "please"]
    shown = "".join(words(one.blocks) for one in ops.said(top.ts))
    assert "the 6 before them are too many" in shown


async def test_the_guided_interview_is_told_of_no_quotes(ops: Channel) -> None:
    ops.slack.add_file("F1", "trace.log", b"priority: low", "text/plain", mode="snippet", user="U1ANN")
    said = await ops.slack.say("U1ANN", "C1OPS", "Priority: lowest")
    text = f"<@{ops.slack.bot_user}> {COMPLETE} {link(ops, said)}"
    top = await ops.slack.say("U1ANN", "C1OPS", text, files=["F1"])
    card = await ops.card(top.ts)
    assert "Priority" not in words(card.blocks)


async def test_a_quoted_yes_answers_no_question(scribe: Scribe, ops: Channel) -> None:
    yes = await ops.slack.say("U1ANN", "C1OPS", "Yes")
    said = await ops.mention("title: Export fails\nproblem: It answers 500.\nacceptance_criteria: it finishes")
    await ops.card(said.ts)
    await ops.mention("forget it", thread=said.ts)
    await ops.until(lambda: "Forget this ticket?" in words(ops.said(said.ts)[-1].blocks), "a question")
    new = await heard(ops, scribe, f"what about {link(ops, yes)}?", thread_ts=said.ts)
    assert new[0]["text"] == "Yes"
    assert not any("Forgotten" in words(one.blocks) for one in ops.said(said.ts))
