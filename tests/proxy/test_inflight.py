"""The queue of what is not answered yet, copy-in mode and skipping included."""

from __future__ import annotations

from proxy.inflight import InFlight, Kind, Queue


def _queue(*kinds: Kind) -> Queue:
    queue = Queue()
    for kind in kinds:
        queue.push(InFlight(kind))
    return queue


def _kinds(queue: Queue) -> list[Kind]:
    return [item.kind for item in queue.drain()]


def test_answers_belong_to_the_oldest_message() -> None:
    queue = _queue(Kind.PARSE, Kind.BIND, Kind.SYNC)
    assert queue.head is not None and queue.head.kind is Kind.PARSE
    queue.pop()
    assert queue.head.kind is Kind.BIND


def test_a_sync_sent_before_the_copy_began_is_ignored_as_the_target_ignores_it() -> None:
    queue = _queue(Kind.EXECUTE, Kind.SYNC, Kind.COPY_END, Kind.SYNC)
    queue.begin_copy_in()
    assert not queue.copy_in
    assert _kinds(queue) == [Kind.EXECUTE, Kind.COPY_END, Kind.SYNC]


def test_a_sync_sent_during_the_copy_is_ignored_until_its_end() -> None:
    queue = _queue(Kind.EXECUTE)
    queue.begin_copy_in()
    queue.push(InFlight(Kind.SYNC))
    assert queue.copy_in
    queue.push(InFlight(Kind.COPY_END))
    queue.push(InFlight(Kind.SYNC))
    assert not queue.copy_in
    assert _kinds(queue) == [Kind.EXECUTE, Kind.COPY_END, Kind.SYNC]


def test_the_end_of_a_copy_has_no_answer_of_its_own() -> None:
    queue = _queue(Kind.QUERY, Kind.COPY_END)
    queue.pop()
    assert not queue


def test_the_end_of_a_copy_that_there_is_not_is_ignored() -> None:
    assert not _queue(Kind.COPY_END, Kind.COPY_END)


def test_an_error_skips_everything_up_to_the_next_sync_newest_first() -> None:
    queue = _queue(Kind.PARSE, Kind.BIND, Kind.EXECUTE, Kind.SYNC, Kind.PARSE)
    skipped = [item.kind for item in queue.skip_to_sync()]
    assert skipped == [Kind.EXECUTE, Kind.BIND, Kind.PARSE]
    assert _kinds(queue) == [Kind.SYNC, Kind.PARSE]
