from collections.abc import Sequence

from appliance.masking.maskers import Masker

class CompiledRowMasker:
    def __init__(self, maskers: Sequence[Masker | None]) -> None: ...
    def rows(self, view: memoryview, pos: int, size: int) -> tuple[bytes, int]: ...
