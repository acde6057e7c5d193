"""Lists of words as users write them; without imports, for the launch files, too."""


def words_of(text: str) -> tuple[str, ...]:
    """Return the words of a list with commas: front, rear; or as YAML has it: ['front', rear]."""
    text = text.strip()
    if text.startswith('[') and text.endswith(']'):
        text = text[1:-1]
    words = (word.strip().strip('\'"').strip() for word in text.split(','))
    return tuple(word for word in words if word)
