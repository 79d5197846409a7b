"""Draws what conversation.py wrote down, with Chromium: `python scripts/card_pictures/render.py FROM TO`.

It knows the blocks that Signoff uses, and looks like Slack as far as a reader of the docs would care.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from html import escape
from pathlib import Path
from typing import Any

import emoji

Json = dict[str, Any]

NAMES = {"U1ANN": "ann", "U2BOB": "bob", "UBOT": "Signoff"}
STYLES = {"bold": "b", "italic": "i", "strike": "s", "code": "code"}
MARKUP = re.compile(
    r"`(?P<code>[^`\n]+)`|<(?P<link>[^<>\n]+)>"
    r"|(?<!\w)(?P<mark>[*_~])(?P<inside>\S(?:[^\n]*?\S)??)(?P=mark)(?!\w)"
)
CHROMIUM = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--force-device-scale-factor=2",
    "--disable-lcd-text", "--font-render-hinting=none",
)  # fmt: skip


def tag(name: str, inside: str, kind: str = "") -> str:
    """An element."""
    return f'<{name} class="{kind}">{inside}</{name}>' if kind else f"<{name}>{inside}</{name}>"


def emojis(text: str) -> str:
    """The text with characters for the short names."""
    return emoji.emojize(text, language="alias")


def mrkdwn(text: str) -> str:
    """Slack's markup; what it escapes is escaped in HTML, too."""
    parts, end = [], 0
    for found in MARKUP.finditer(text):
        parts.append(emojis(text[end : found.start()]))
        if found["code"]:
            parts.append(tag("code", found["code"]))
        elif found["mark"]:
            parts.append(tag({"*": "b", "_": "i", "~": "s"}[found["mark"]], mrkdwn(found["inside"])))
        else:
            parts.append(_reference(found["link"]))
        end = found.end()
    return "".join([*parts, emojis(text[end:])]).replace("\n", "<br>")


def _reference(inside: str) -> str:
    target, _, label = inside.partition("|")
    if target.startswith("@"):
        return tag("span", f"@{NAMES.get(target[1:], target[1:])}", "mention")
    return label if target.startswith("!date^") else tag("a", label or target)


def text_of(thing: Json) -> str:
    """A text object."""
    return mrkdwn(thing["text"]) if thing["type"] == "mrkdwn" else escape(thing["text"])


def rich(element: Json) -> str:
    """An element of rich text."""
    match element["type"]:
        case "text":
            text = escape(element["text"]).replace("\n", "<br>")
            for style in element.get("style", {}):
                text = tag(STYLES[style], text)
            return text
        case "rich_text_list":
            return tag("ul", "".join(tag("li", rich(one)) for one in element["elements"]))
        case "rich_text_preformatted":
            return tag("pre", "".join(map(rich, element["elements"])))
        case "rich_text_section":
            return tag("div", "".join(map(rich, element["elements"])))
    raise ValueError(f"cannot draw {element['type']}")


def block(given: Json) -> str:
    """A block."""
    match given["type"]:
        case "header":
            inside = text_of(given["text"])
        case "section":
            inside = tag("div", text_of(given["text"])) + (control(given["accessory"]) if "accessory" in given else "")
        case "context":
            inside = "".join(tag("div", text_of(one)) for one in given["elements"])
        case "rich_text":
            inside = "".join(map(rich, given["elements"]))
        case "actions":
            inside = "".join(map(control, given["elements"]))
        case "input":
            optional = tag("span", " (optional)", "faint") if given.get("optional") else ""
            hint = tag("div", text_of(given["hint"]), "hint") if "hint" in given else ""
            inside = tag("label", text_of(given["label"]) + optional) + control(given["element"]) + hint
        case "divider":
            inside = "<hr>"
        case other:
            raise ValueError(f"cannot draw {other}")
    return tag("div", inside, f"block {given['type']}")


def control(element: Json) -> str:
    """What can be pressed or filled in."""
    match element["type"]:
        case "button":
            return tag("button", text_of(element["text"]), element.get("style", ""))
        case "plain_text_input":
            text = escape(element.get("initial_value", "")).replace("\n", "<br>")
            return tag("div", text, "typed lines" if element.get("multiline") else "typed")
        case "static_select":
            return tag("div", text_of(element["initial_option"]["text"]) + tag("span", "⌄"), "typed select")
    raise ValueError(f"cannot draw {element['type']}")


def message(said: Json) -> str:
    """A message of a thread."""
    by, app = said["by"], tag("span", "APP", "app") if said["by"] == "Signoff" else ""
    head = tag("div", tag("b", by) + app + tag("span", said["at"], "faint at"), "head")
    body = "".join(map(block, said["blocks"])) if "blocks" in said else tag("div", mrkdwn(said["text"]), "block section plain")
    return tag("div", tag("div", "✓" if app else by[0].upper(), f"avatar {by}") + tag("div", head + body, "body"), "message")


def modal(view: Json) -> str:
    """A modal, as much of it as Slack shows before one scrolls."""
    head = tag("div", "✓", "avatar Signoff small") + tag("b", text_of(view["title"])) + tag("span", "✕", "faint")
    foot = tag("button", text_of(view["close"])) + tag("button", text_of(view["submit"]), "primary")
    body = tag("div", "".join(map(block, view["blocks"])), "fields")
    return tag("div", tag("div", head, "top") + body + tag("div", foot, "foot"), "modal")


def page(shown: Any) -> str:
    """The page that shows a thread or a modal; its title tells its height once it is laid out."""
    body = modal(shown) if isinstance(shown, dict) else tag("div", "".join(map(message, shown)), "thread")
    style = (Path(__file__).parent / "slack.css").read_text()
    measure = "document.title = document.body.offsetHeight"
    return f'<!DOCTYPE html><meta charset="utf-8"><title></title><style>{style}</style><body>{body}<script>{measure}</script>'


def chromium(profile: str, *options: str) -> str:
    """Runs Chromium; gives what it prints."""
    command = [os.environ.get("CHROMIUM", "chromium"), *CHROMIUM, f"--user-data-dir={profile}", *options]
    done = subprocess.run(command, check=True, timeout=60, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return done.stdout


def main(given: Path, pictures: Path, *, width: int = 640) -> None:
    """Makes a picture of each file."""
    with tempfile.TemporaryDirectory(prefix="signoff-chromium-", ignore_cleanup_errors=True) as profile:
        for file in sorted(given.glob("*.json")):
            html = file.with_suffix(".html")
            html.write_text(page(json.loads(file.read_text())))
            found = re.search(r"<title>(\d+)", chromium(profile, f"--window-size={width},2000", "--dump-dom", html.as_uri()))
            if not found:
                raise SystemExit(f"Chromium could not lay out {html.name}")
            picture = pictures / f"slack-{file.stem}.png"
            chromium(profile, f"--window-size={width},{found[1]}", f"--screenshot={picture}", html.as_uri())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
