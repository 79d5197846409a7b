"""The command line: the one place that knows every room. Each command is imported only when it is run."""

import argparse
import errno
import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Any


class Usage(Exception):
    """The command cannot go on; the text is one sentence that says what to do. Exit status 2."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs `signoff`; gives its exit status: 0, 2 if it cannot go on, 1 if a replay differs or a check fails, 130 on Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a narrow encoding shows a mark, and ends nothing
    options = _parser().parse_args(arguments)
    from agent.cli import discreet

    discreet.install()
    try:
        status = _run(options)
        if sys.stdout:
            sys.stdout.flush()
        return status
    except Usage as error:
        from agent.hiding import hide

        print(f"signoff: {hide(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader has had enough
        _give_up_output()
        return 0
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _give_up_output()
        print("signoff: What it prints cannot be written, the disk is full: make room, and continue.", file=sys.stderr)
        return 2


def _give_up_output() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(options: argparse.Namespace) -> int:
    match options.command:
        case "chat":
            from agent.cli import chat

            return chat.run(session=options.session, speaker=options.speaker, as_json=options.json)
        case "serve":
            from agent.cli import serve

            return serve.run(host=options.host, port=options.port, over_socket=options.socket)
        case "doctor":
            from agent.cli import doctor

            return doctor.run(as_json=options.json)
        case "tickets":
            from agent.cli import tickets

            if options.action == "export":
                return tickets.export(options.directory)
            return tickets.show(options.key) if options.action == "show" else tickets.list_all(as_json=options.json)
        case "filings":
            from agent.cli import filings

            if options.action == "resolve":
                return filings.resolve(options.id, key=options.key, again=options.again)
            return filings.list_filings(everything=options.all, as_json=options.json)
        case "verify":
            from agent.cli import filings

            return filings.verify(options.key, as_json=options.json)
        case "audit":
            from agent.cli import audit

            if options.action == "show":
                return audit.show(options.session, as_json=options.json)
            if options.action == "export":
                return audit.export(options.file, since=options.since)
            return audit.verify(options.file, anchor=options.head)
        case "export":
            from agent.cli import conversations

            return conversations.export(options.session, redact=options.redact)
        case "eval":
            from agent.cli import evaluation

            return evaluation.evaluate(options.directory, recorded=options.recorded, as_json=options.json)
    from agent.cli import conversations

    return conversations.replay(options.files, live=options.live)


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from importlib.metadata import version

        print(f"signoff {version('signoff')}")
        parser.exit()


def _port(given: str) -> int:
    if not (given.isascii() and given.isdigit() and int(given) <= 65_535):
        raise argparse.ArgumentTypeError(f"{given} is no port: give a number from 0 to 65535")
    return int(given)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="signoff",
        description="Drafts a ticket in a conversation, shows exactly what it would file, and files what a person approved.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    chat = commands.add_parser("chat", help="talk in the terminal until a ticket is filed")
    chat.add_argument("--as", dest="speaker", metavar="NAME", help="who speaks (your login name)")
    chat.add_argument("--session", metavar="NAME", help="the conversation to continue or to start under this name")
    chat.add_argument("--json", action="store_true", help="print one JSON object a line")

    serve = commands.add_parser("serve", help="be in Slack, over HTTP or Socket Mode")
    serve.add_argument("--host", default="127.0.0.1", help="the address to listen on (127.0.0.1)")
    serve.add_argument("--port", type=_port, default=3000, help="the port to listen on (3000; 0: any free one)")
    serve.add_argument("--socket", action="store_true", help="connect to Slack over Socket Mode, and listen on nothing")

    doctor = commands.add_parser("doctor", help="check all that serve needs, and say what to do about what is wrong")
    doctor.add_argument("--json", action="store_true", help="print one JSON object a check")

    tickets = commands.add_parser("tickets", help="list the tickets of the local tracker")
    tickets.add_argument("--json", action="store_true", help="print one JSON object a ticket")
    actions = tickets.add_subparsers(dest="action", metavar="show KEY | export DIR")
    show = actions.add_parser("show", help="print one ticket as Markdown")
    show.add_argument("key", metavar="KEY")
    save = actions.add_parser("export", help="write every ticket as a Markdown file")
    save.add_argument("directory", metavar="DIR", help="where to; it is made if need be")

    filings = commands.add_parser("filings", help="list the approvals that are not filed yet, failed, or are in doubt")
    filings.add_argument("--all", action="store_true", help="those that are filed or settled, too")
    filings.add_argument("--json", action="store_true", help="print one JSON object a filing")
    settling = filings.add_subparsers(dest="action", metavar="resolve ID --key KEY | --again | --leave")
    resolve = settling.add_parser("resolve", help="settle one that failed or is in doubt")
    resolve.add_argument("id", metavar="ID", help="its id, as signoff filings lists it")
    word = resolve.add_mutually_exclusive_group(required=True)
    word.add_argument("--key", metavar="KEY", help="it is there, and this is its key; the ticket is read to make sure")
    word.add_argument("--again", action="store_true", help="file it again: look in the tracker first")
    word.add_argument("--leave", action="store_true", help="leave it; if it failed, its approval is withdrawn")

    verify = commands.add_parser("verify", help="say whether a ticket is what was approved, or what was changed since")
    verify.add_argument("key", metavar="KEY")
    verify.add_argument("--json", action="store_true", help="print one JSON object")

    audit = commands.add_parser("audit", help="say whether the audit log is whole, export it, tell what happened in a session")
    looking = audit.add_subparsers(dest="action", required=True, metavar="verify [FILE] | export [FILE] | show SESSION")
    whole = looking.add_parser("verify", help="find what was edited, deleted or reordered in the log, or in an export of it")
    whole.add_argument("file", metavar="FILE", nargs="?", help="what export wrote; without it the database is read")
    whole.add_argument("--head", metavar="HASH", default="", help="a head that was printed before, and must be in it")
    copy = looking.add_parser("export", help="write the log as JSON lines, to FILE or to standard output")
    copy.add_argument("file", metavar="FILE", nargs="?")
    copy.add_argument("--since", metavar="DATE", help="only what happened from then on: 2026-11-28, or 2026-11-28T14:30")
    story = looking.add_parser("show", help="tell who said what, what was shown, who decided and what was filed")
    story.add_argument("session", metavar="SESSION", help="the name given to chat by --session, or TEAM:CHANNEL:THREAD")
    story.add_argument("--json", action="store_true", help="print one JSON object a row")

    export = commands.add_parser("export", help="write a conversation to standard output, for replay")
    export.add_argument("session", metavar="SESSION", help="the name given to chat by --session")
    export.add_argument("--redact", action="store_true", help="replace people, links, keys and secrets, and prove it replays")

    evaluate = commands.add_parser("eval", help="score drafts by what conversations are expected to come to")
    evaluate.description = (
        "Has the conversations in DIR read by the model that SIGNOFF_MODEL names, or else by the guided interview, and scores "
        "what the drafts hold, field by field: found and missed of what is expected, invented, and found with the right words "
        "quoted."
    )
    evaluate.add_argument("directory", metavar="DIR", help="where the conversations are, as JSON lines (*.jsonl)")
    evaluate.add_argument("--recorded", action="store_true", help="score the answers that the conversations were recorded with")
    evaluate.add_argument("--json", action="store_true", help="print one JSON object")

    replay = commands.add_parser("replay", help="run exported conversations through today's graph, and show what differs")
    replay.add_argument("--live", action="store_true", help="have the model of SIGNOFF_MODEL read them, and compare the drafts")
    replay.add_argument("files", metavar="FILE", nargs="+", help="a file that export wrote")
    return parser
