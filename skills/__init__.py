"""The skills: one file each. The model has `update_draft`; the gates are called by the graph alone."""

import agent as agent  # before langgraph is imported: see there
