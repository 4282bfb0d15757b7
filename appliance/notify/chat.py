"""A notice as a message of Slack (Block Kit) or of Teams (Adaptive Card), pure.

What clients chose (names, texts, reasons) goes only where the receiver reads no markup, so that
nobody can write a link or call a channel through a statement.
"""

from __future__ import annotations

from typing import Any

from appliance.notify.notice import Notice, Tone

# Bounds of Block Kit: https://docs.slack.dev/reference/block-kit/blocks
_SLACK_HEADER = 150
_COLOURS = {
    Tone.ASKS: "Warning",
    Tone.GOOD: "Good",
    Tone.BAD: "Attention",
    Tone.PLAIN: "Default",
}


def slack(notice: Notice) -> dict[str, Any]:
    """Return the body for an incoming webhook of Slack."""
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": _plain(_short(notice.headline, _SLACK_HEADER))}
    ]
    if notice.next_step:
        blocks.append({"type": "section", "text": _plain(notice.next_step)})
    if notice.statement:
        preformatted = {
            "type": "rich_text_preformatted",
            "elements": [{"type": "text", "text": notice.statement}],
        }
        blocks.append({"type": "rich_text", "elements": [preformatted]})
    if notice.facts:
        lines = [
            {
                "type": "rich_text_section",
                "elements": [
                    {"type": "text", "text": f"{label}: ", "style": {"bold": True}},
                    {"type": "text", "text": value},
                ],
            }
            for label, value in notice.facts
        ]
        blocks.append({"type": "rich_text", "elements": lines})
    if notice.remark:
        blocks.append({"type": "context", "elements": [_plain(notice.remark)]})
    button = {"type": "button", "text": _plain(notice.button), "url": notice.link}
    if notice.tone is Tone.ASKS:
        button["style"] = "primary"
    blocks.append({"type": "actions", "elements": [button]})
    # shown by notifications and screen readers; unlike the blocks it is read as markup
    return {"text": _escaped(notice.subject), "blocks": blocks}


def teams(notice: Notice) -> dict[str, Any]:
    """Return the body for a Teams workflow "when a webhook request is received"."""
    body: list[dict[str, Any]] = [
        _run(notice.headline, size="Large", weight="Bolder", color=_COLOURS[notice.tone])
    ]
    if notice.next_step:
        body.append(_run(notice.next_step))
    if notice.statement:
        lines = [_run(line or " ", fontType="Monospace") for line in notice.statement.split("\n")]
        for line in lines[1:]:
            line["spacing"] = "None"
        body.append({"type": "Container", "style": "emphasis", "items": lines})
    if notice.remark:
        body.append(_run(notice.remark, isSubtle=True))
    body += [
        {
            "type": "ColumnSet",
            "spacing": "Small",
            "columns": [
                {
                    "type": "Column",
                    "width": "110px",
                    "items": [_run(label, isSubtle=True)],
                },
                {"type": "Column", "width": "stretch", "items": [_run(value)]},
            ],
        }
        for label, value in notice.facts
    ]
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "fallbackText": notice.subject,
        "body": body,
        "actions": [{"type": "Action.OpenUrl", "title": notice.button, "url": notice.link}],
        "msteams": {"width": "Full"},
    }
    attachment = {
        "contentType": "application/vnd.microsoft.card.adaptive",
        "contentUrl": None,
        "content": card,
    }
    return {"type": "message", "attachments": [attachment]}


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text, "emoji": False}


def _escaped(text: str) -> str:
    """Return text in which Slack finds no <link> and no <!channel>."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _run(text: str, **looks: Any) -> dict[str, Any]:
    """Return a RichTextBlock: unlike a TextBlock it reads no Markdown."""
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": text, **looks}]}


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
