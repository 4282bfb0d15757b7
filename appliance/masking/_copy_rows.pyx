# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Rewrite runs of CopyData messages that hold one plain row each, as the server sends them.

A message that is anything else (a header, part of a row, escapes or quotes where a column is
masked) is given to ``feed`` as it is: what is read here is what both read alike.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer

include "_bytes.pxi"

from libc.string cimport memchr, memcmp

from appliance.errors import ProtocolError
from appliance.masking.rows_python import LARGEST

cdef enum How:
    PASS
    CONSTANT
    PARTIAL
    HASH
    CALL

cdef enum:
    HEADER = 5
    COPY_DATA = 100  # d
    NEWLINE = 10
    BACKSLASH = 92
    RETURN = 13
    STAR = 42

cdef struct Column:
    How how
    bint is_padded  # of PARTIAL
    Bytes value  # of CONSTANT: as it is written
    Py_ssize_t size
    Key key  # of HASH


cdef class CompiledCopy:
    """``form``: text | csv | binary. ``quote``: a byte, or -1 where quotes are not looked into.

    ``null``: how NULL is written; None = a value may be written so too. ``write``: returns a
    replacement, or None for NULL, as it is written in a row.
    """

    cdef Column *_plan
    cdef int _columns
    cdef bint _is_binary
    cdef bint _is_csv
    cdef int _delimiter
    cdef int _quote
    cdef bytes _null
    cdef list _maskers
    cdef list _values  # keeps alive what the plan points to
    cdef object _write

    def __cinit__(self, str form, int delimiter, int quote, bytes null, maskers, write):
        cdef int number
        self._is_binary = form == "binary"
        self._is_csv = form == "csv"
        self._delimiter = delimiter
        self._quote = quote
        self._null = null
        self._write = write
        self._maskers = list(maskers)
        self._values = []
        self._columns = len(self._maskers)
        self._plan = <Column *>malloc(max(self._columns, 1) * sizeof(Column))
        if self._plan is NULL:
            raise MemoryError
        for number, masker in enumerate(self._maskers):
            self._add(&self._plan[number], masker)

    cdef _add(self, Column *column, masker):
        column.how = PASS if masker is None else CALL
        column.is_padded = False
        column.value = NULL
        column.size = 0
        if type(masker) is Constant:
            written = self._write(masker.value)
            self._values.append(written)
            column.how = CONSTANT
            column.value = <Bytes>PyBytes_AS_STRING(written)
            column.size = PyBytes_GET_SIZE(written)
        elif type(masker) is Partial and self._delimiter != STAR and self._quote != STAR:
            column.how = PARTIAL
            column.is_padded = masker.is_padded
        elif hashes_here(masker) and not {self._delimiter, self._quote} & set(b"0123456789abcdef"):
            column.how = HASH
            set_key(&column.key, masker.key)

    def __dealloc__(self):
        free(self._plan)

    def rows(self, view, Py_ssize_t pos, Py_ssize_t size, copy):
        """Return the replacement of the whole CopyData messages from ``pos`` on, and their end.

        ``copy``: has ``feed``, and ``is_between_rows`` while a message may be read here.
        """
        cdef Py_buffer buffer
        cdef Out out
        cdef int32_t length
        cdef bint is_between = copy.is_between_rows
        cdef Py_ssize_t header
        cdef Bytes data
        cdef bytes made
        PyObject_GetBuffer(view, &buffer, PyBUF_SIMPLE)
        out.data = NULL
        try:
            if not 0 <= pos <= size <= buffer.len:
                raise ValueError("expected a position within the view")
            data = <Bytes>buffer.buf
            begin(&out, size - pos + 4096)
            while size - pos >= HEADER and data[pos] == COPY_DATA:
                length = number_at(data + pos + 1)
                if length < 4:
                    raise ProtocolError("upstream", "the length of a CopyData is impossible")
                if length > size - pos - 1:
                    break
                header = out.size
                reserve(&out, HEADER)
                out.size += HEADER
                if not (is_between and self._row(data, pos + HEADER, pos + 1 + length, &out)):
                    out.size = header + HEADER
                    made = copy.feed(
                        PyBytes_FromStringAndSize(<const char *>data + pos + HEADER, length - 4)
                    )
                    put(&out, <Bytes>PyBytes_AS_STRING(made), PyBytes_GET_SIZE(made))
                    is_between = copy.is_between_rows
                pos += 1 + length
                if out.size == header + HEADER:
                    out.size = header  # nothing to send yet
                    continue
                if out.size - header - 1 > LARGEST_MESSAGE:
                    raise ProtocolError("upstream", "a masked row is larger than a message can be")
                out.data[header] = COPY_DATA
                write_number(out.data + header + 1, <uint32_t>(out.size - header - 1))
            return PyBytes_FromStringAndSize(<char *>out.data, out.size), pos
        finally:
            free(out.data)
            PyBuffer_Release(&buffer)

    cdef int _row(self, Bytes data, Py_ssize_t at, Py_ssize_t end, Out *out) except -1:
        """Append a row and return 1; 0: it is not plain, and what was appended does not count."""
        if self._is_binary:
            return self._binary(data, at, end, out)
        end -= 1
        if end < at or data[end] != NEWLINE or memchr(data + at, NEWLINE, end - at) is not NULL:
            return 0
        if self._is_csv and memchr(data + at, RETURN, end - at) is not NULL:
            return 0
        return self._text(data, at, end, out)

    cdef int _text(self, Bytes data, Py_ssize_t at, Py_ssize_t end, Out *out) except -1:
        cdef Py_ssize_t after, run = at
        cdef int number
        cdef Column *column
        for number in range(self._columns):
            after = self._column_end(data, at, end)
            if after < 0 or (after == end) != (number == self._columns - 1):
                return 0
            column = &self._plan[number]
            if column.how != PASS and not self._is_null(data + at, after - at):
                if not self._is_bare(data + at, after - at):
                    return 0
                put(out, data + run, at - run)
                if not self._replace(number, data + at, after - at, out):
                    return 0
                run = after
            at = after + 1
        if self._columns == 0:
            return 0
        return put(out, data + run, end + 1 - run) + 1

    cdef inline Py_ssize_t _column_end(self, Bytes data, Py_ssize_t at, Py_ssize_t end) noexcept:
        """Return where the column at ``at`` ends; -1: that takes a closer look."""
        cdef const void *found
        cdef Py_ssize_t after
        if self._is_csv and at < end and data[at] == self._quote:
            while True:
                found = memchr(data + at + 1, self._quote, end - at - 1)
                if found is NULL:
                    return -1
                at = <Bytes>found - data + 1
                if at == end or data[at] == self._delimiter:
                    return at
                if data[at] != self._quote:
                    return -1
        found = memchr(data + at, self._delimiter, end - at)
        after = end if found is NULL else <Bytes>found - data
        if self._is_csv:
            if self._quote < 0 or memchr(data + at, self._quote, after - at) is not NULL:
                return -1
        elif after > at and data[after - 1] == BACKSLASH:
            return -1
        return after

    cdef inline bint _is_null(self, Bytes value, Py_ssize_t size) noexcept:
        return (
            self._null is not None
            and size == PyBytes_GET_SIZE(self._null)
            and memcmp(value, PyBytes_AS_STRING(self._null), size) == 0
        )

    cdef inline bint _is_bare(self, Bytes value, Py_ssize_t size) noexcept:
        """Return whether a value is written as it is."""
        if self._is_csv:
            return size == 0 or value[0] != self._quote
        return memchr(value, BACKSLASH, size) is NULL

    cdef inline bint _is_plain(self, Bytes value, Py_ssize_t size) noexcept:
        """Return whether a replacement needs no escapes or quotes where it stands."""
        cdef Py_ssize_t at
        if self._is_null(value, size):
            return False
        for at in range(size):
            if value[at] < 32:
                return False
        return True

    cdef int _replace(self, int number, Bytes value, Py_ssize_t size, Out *out) except -1:
        """Append what stands for a bare value and return 1; 0: that takes a closer look."""
        cdef Column *column = &self._plan[number]
        cdef Py_ssize_t start = out.size
        cdef bytes made
        if column.how == CONSTANT:
            put(out, column.value, column.size)
        elif column.how == PARTIAL and is_ascii(value, size):
            put_partial(out, value, size, column.is_padded)
            return self._is_plain(out.data + start, size)
        elif column.how == HASH and is_ascii(value, size):
            put_hash(out, &column.key, value, size)
            return self._is_plain(out.data + start, 16)
        else:
            made = self._write(
                self._maskers[number](PyBytes_FromStringAndSize(<const char *>value, size))
            )
            put(out, <Bytes>PyBytes_AS_STRING(made), PyBytes_GET_SIZE(made))
        return 1

    cdef int _binary(self, Bytes data, Py_ssize_t at, Py_ssize_t end, Out *out) except -1:
        cdef Py_ssize_t after, run = at
        cdef int32_t length
        cdef int number
        cdef Column *column
        cdef bytes made
        if end - at < 2 or ((<int>data[at] << 8) | data[at + 1]) != self._columns:
            return 0
        at += 2
        for number in range(self._columns):
            if end - at < 4:
                return 0
            length = number_at(data + at)
            if length < -1 or length > end - at - 4:
                return 0
            after = at + 4 + max(length, 0)
            column = &self._plan[number]
            if column.how == PASS or length < 0:
                at = after
                continue
            if column.how == PARTIAL and is_ascii(data + at + 4, length):
                put(out, data + run, at + 4 - run)
                put_partial(out, data + at + 4, length, column.is_padded)
            elif column.how == HASH and is_ascii(data + at + 4, length):
                put(out, data + run, at - run)
                put(out, SIXTEEN, 4)
                put_hash(out, &column.key, data + at + 4, length)
            else:
                put(out, data + run, at - run)
                if column.how == CONSTANT:
                    put(out, column.value, column.size)
                else:
                    made = self._write(
                        self._maskers[number](
                            PyBytes_FromStringAndSize(<const char *>data + at + 4, length)
                        )
                    )
                    put(out, <Bytes>PyBytes_AS_STRING(made), PyBytes_GET_SIZE(made))
            run = at = after
        if at != end:
            return 0
        return put(out, data + run, end - run) + 1


cdef Py_ssize_t LARGEST_MESSAGE = LARGEST
cdef const unsigned char *SIXTEEN = b"\0\0\0\x10"
