from collections.abc import Callable, Sequence
from typing import Protocol

from appliance.masking.maskers import Masker

class Copy(Protocol):
    @property
    def is_between_rows(self) -> bool: ...
    def feed(self, payload: bytes) -> bytes: ...

class CompiledCopy:
    def __init__(
        self,
        form: str,
        delimiter: int,
        quote: int,
        null: bytes | None,
        maskers: Sequence[Masker | None],
        write: Callable[[bytes | None], bytes],
    ) -> None: ...
    def rows(self, view: memoryview, pos: int, size: int, copy: Copy) -> tuple[bytes, int]: ...
