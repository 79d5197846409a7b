"""Signoff in Slack: what comes in, the cards and forms, who may approve, and delivery."""
