"""How far something is, for whoever waits for it."""

import sys
import time

BAR = 30  # characters
REPORT_S = 10.0  # between lines about the progress, where there is no terminal


class Progress:
    """Shows on stderr how far something is: a bar on a terminal, else a line now and then."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._began_s = self._said_s = time.monotonic()

    def add(self) -> None:
        """Count one more."""
        self._done += 1
        now_s = time.monotonic()
        rate = self._done / max(now_s - self._began_s, 1e-9)
        total = max(self._total, self._done)
        text = f'{self._done}/{total}, {rate:.1f} per second'
        if sys.stderr.isatty():
            filled = BAR * self._done // total
            bar = '#' * filled + '.' * (BAR - filled)
            print(f'\r[{bar}] {text}', end='', file=sys.stderr, flush=True)
        elif now_s - self._said_s > REPORT_S:
            self._said_s = now_s
            print(text, file=sys.stderr, flush=True)

    def close(self) -> None:
        """End the line."""
        if sys.stderr.isatty() and self._done:
            print(file=sys.stderr)
