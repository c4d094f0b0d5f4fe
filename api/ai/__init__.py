"""The forms of the source documents: completions, chats, routed chats, generate."""
