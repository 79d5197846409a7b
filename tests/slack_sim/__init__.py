"""A Slack of our own on loopback, over real HTTP and WebSockets: strict as Slack is, and open to a test's eyes.

`async with running_slack() as slack:` starts it; the app under test gets `slack.api_url` and nothing else is changed in it.
"""

from tests.slack_sim.server import Slack, running_slack
from tests.slack_sim.world import Answer, Message, View

__all__ = ["Answer", "Message", "Slack", "View", "running_slack"]
