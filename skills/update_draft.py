"""The model's own skill: changing the draft. It is the only tool a model is given; no gate is in its reach."""

from typing import Annotated

from langchain_core.tools import InjectedToolArg, tool

from agent.draft import Operation, Source, TicketDraft, apply


@tool
def update_draft(
    operations: list[Operation],
    draft: Annotated[TicketDraft, InjectedToolArg],
    sources: Annotated[dict[str, Source], InjectedToolArg],
) -> tuple[TicketDraft, list[str]]:
    """Change fields of the ticket draft to what people said, in their own words. Never add what nobody said."""
    return apply(draft, operations, sources)
