"""What the app asks of a workspace: its scopes and events, each with the reason. `manifest.json` and docs/slack.md follow."""

SCOPES = {
    "app_mentions:read": "To hear when somebody mentions it.",
    "assistant:write": "To offer prompts to begin with when somebody opens its messages.",
    "channels:history": "To read the thread it is mentioned in, and what is said there from then on, in public channels.",
    "channels:read": "To know a public channel's name, whether it is public, and who is in it and so may approve.",
    "chat:write": "To post questions and cards, to keep the cards current, and to answer a click.",
    "commands": "To offer /signoff and the shortcut *Draft a ticket*.",
    "files:read": "To compute the digest of the files in a thread, so that the ticket names these, and to read text files.",
    "groups:history": "The same as channels:history, in private channels it was invited to.",
    "groups:read": "The same as channels:read, for private channels it was invited to.",
    "im:history": "To read what people write to it directly.",
    "im:read": "To recognise a direct message as private.",
    "im:write": "To answer in a direct message where it cannot answer in the channel.",
    "mpim:history": "The same as channels:history, in group conversations it was added to.",
    "mpim:read": "The same as channels:read, for group conversations it was added to.",
    "reactions:read": "To draft a ticket from a message that somebody puts :ticket: on.",
    "usergroups:read": "To know who is in a user group that may approve, and what people call it.",
    "users:read": "To show names instead of ids, and to tell members from guests, bots and strangers, who may not approve.",
}
"""The bot scopes, and why each is needed."""

OPTIONAL = ("assistant:write",)
"""Scopes without which all but an ornament works: on Slack's free plan there are no agents."""

EVENTS = {
    "app_uninstalled": "It was removed from the workspace: its token there is forgotten.",
    "app_home_opened": "Somebody opens its messages: it offers prompts to begin with.",
    "app_mention": "Somebody mentions it.",
    "message.channels": "Something is said, edited or deleted in a public channel it is in.",
    "message.groups": "The same in a private channel.",
    "message.im": "Somebody writes to it directly.",
    "message.mpim": "Something is said, edited or deleted in a group conversation it is in.",
    "reaction_added": "Somebody puts an emoji on a message; all but :ticket: are ignored.",
    "tokens_revoked": "Its token was revoked: it is forgotten.",
}
"""The bot events subscribed to, and what each tells."""
