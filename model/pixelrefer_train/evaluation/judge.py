"""A language model that judges texts, behind any endpoint that speaks the chat completions of OpenAI."""

from __future__ import annotations

import hashlib
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pixelrefer_core.errors import InvalidRequestError, RequestTimeoutError, UnsupportedError

URL, MODEL, KEY = 'PIXELREFER_JUDGE_URL', 'PIXELREFER_JUDGE_MODEL', 'PIXELREFER_JUDGE_KEY'
# Too many requests, or a server that is down for a moment.
_PASSING = {408, 429, 500, 502, 503, 504}
_TRIES = 4


class Judge(Protocol):
    """Whom a benchmark asks what a score in numbers cannot tell."""

    @property
    def name(self) -> str:
        """Which model judges."""
        ...

    def ask(self, system: str, user: str) -> str:
        """Return the reply to one message. Raises a :class:`PixelReferError` when there is none."""
        ...


@dataclass(frozen=True)
class ChatJudge:
    """A client of ``<url>/chat/completions``; temperature 0. ``wait``: called with seconds between tries."""

    url: str
    name: str
    key: str = field(default='', repr=False)
    timeout_s: float = 60.0
    wait: Callable[[float], None] = time.sleep

    def ask(self, system: str, user: str) -> str:
        """Ask, again after 1, 2 and 4 seconds when the server is busy or silent.

        Raises :class:`RequestTimeoutError` when it stays so, :class:`InvalidRequestError` when it refuses or
        replies otherwise than the protocol says.
        """
        for attempt in range(_TRIES):
            if attempt:
                self.wait(2.0 ** (attempt - 1))
            try:
                return self._reply(self._post(system, user))
            except urllib.error.HTTPError as error:
                if error.code not in _PASSING:
                    raise InvalidRequestError(
                        f'the judge at {self.url} refuses: {error.code} {error.reason}'
                    ) from error
                reason = str(error)
            except (OSError, TimeoutError) as error:
                reason = str(error)
        raise RequestTimeoutError(f'the judge at {self.url} gave no answer in {_TRIES} tries: {reason}')

    def _post(self, system: str, user: str) -> bytes:
        messages = [{'role': 'system', 'content': system}, {'role': 'user', 'content': user}]
        body = json.dumps({'model': self.name, 'messages': messages, 'temperature': 0.0}).encode()
        headers = {'Content-Type': 'application/json'}
        if self.key:
            headers['Authorization'] = f'Bearer {self.key}'
        request = urllib.request.Request(f'{self.url.rstrip("/")}/chat/completions', body, headers)
        with urllib.request.urlopen(request, timeout=self.timeout_s) as response:
            content: bytes = response.read()
        return content

    def _reply(self, content: bytes) -> str:
        try:
            text = json.loads(content)['choices'][0]['message']['content']
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise InvalidRequestError(f'{self.url} does not answer as a chat endpoint does') from error
        if not isinstance(text, str):
            raise InvalidRequestError(f'the judge {self.name} replied without text')
        return text


class RememberingJudge:
    """A judge whose replies are kept in a file, so that a run that stopped asks nothing twice."""

    def __init__(self, judge: Judge, file: Path) -> None:
        self._judge, self._file = judge, file
        self.name = judge.name
        lines = file.read_text(encoding='utf-8').splitlines() if file.exists() else []
        self._replies: dict[str, str] = {}
        for line in lines:
            entry: dict[str, Any] = json.loads(line)
            self._replies[entry['question']] = entry['reply']

    def ask(self, system: str, user: str) -> str:
        """Return the kept reply, or ask and keep it. Raises what the judge raises."""
        question = hashlib.sha256('\0'.join((self.name, system, user)).encode()).hexdigest()
        if question not in self._replies:
            self._replies[question] = self._judge.ask(system, user)
            with self._file.open('a', encoding='utf-8') as file:
                file.write(json.dumps({'question': question, 'reply': self._replies[question]}) + '\n')
        return self._replies[question]


def judge_from_environment() -> ChatJudge:
    """Return the judge that the environment names. Raises :class:`UnsupportedError` saying what to set."""
    url, name = os.environ.get(URL, ''), os.environ.get(MODEL, '')
    if not url or not name:
        raise UnsupportedError(
            f'this score needs a language model as its judge: set {URL} (such as http://localhost:8000/v1), {MODEL} '
            f'and, if the endpoint wants one, {KEY}'
        )
    if not url.startswith(('http://', 'https://')):
        raise UnsupportedError(f'{URL} must begin with http:// or https://, got {url}')
    return ChatJudge(url, name, os.environ.get(KEY, ''))
