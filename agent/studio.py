"""The graph for LangGraph Studio (`langgraph dev`), which brings a checkpointer of its own. See langgraph.json."""

from agent.graph import build
from agent.model import configured_listener
from agent.sealing import Destination
from skills.trackers import renderers

graph = build(configured_listener(), renderers(), Destination())
