# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Rewrite runs of DataRow messages: the compiled twin of ``rows_python``.

Constants, and of ASCII texts the visible end or the hash, are written here; any other replacement
is asked of its masker. Every length that came is compared with the end of its message before it is
used.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_CheckExact

include "_bytes.pxi"

from appliance.errors import ProtocolError
from appliance.masking.rows_python import LARGEST

cdef enum How:
    CONSTANT
    PARTIAL
    HASH
    CALL

cdef struct Column:
    int skipped  # columns before it that pass
    How how
    bint is_padded  # of PARTIAL
    Bytes value  # of CONSTANT: with its length before it, as it is written
    Py_ssize_t size
    Key key  # of HASH

cdef enum:
    HEADER = 5
    DATA_ROW = 68  # D


cdef class CompiledRowMasker:
    """One masker for each column of a result, None = it passes."""

    cdef Column *_plan
    cdef int _masked
    cdef int _columns
    cdef int _passing_after
    cdef list _maskers
    cdef list _values  # keeps alive what the plan points to

    def __cinit__(self, maskers):
        cdef int number, before = 0
        self._columns = len(maskers)
        self._maskers = [masker for masker in maskers if masker is not None]
        self._values = []
        self._masked = len(self._maskers)
        self._plan = <Column *>malloc(max(self._masked, 1) * sizeof(Column))
        if self._plan is NULL:
            raise MemoryError
        self._masked = 0
        for number, masker in enumerate(maskers):
            if masker is None:
                continue
            self._plan[self._masked].skipped = number - before
            self._add(&self._plan[self._masked], masker)
            self._masked += 1
            before = number + 1
        self._passing_after = self._columns - before

    cdef _add(self, Column *column, masker):
        column.how = CALL
        column.is_padded = False
        column.value = NULL
        column.size = 0
        if type(masker) is Constant:
            made = masker.value
            written = b"\xff\xff\xff\xff" if made is None else len(made).to_bytes(4, "big") + made
            self._values.append(written)
            column.how = CONSTANT
            column.value = <Bytes>PyBytes_AS_STRING(written)
            column.size = PyBytes_GET_SIZE(written)
        elif type(masker) is Partial:
            column.how = PARTIAL
            column.is_padded = masker.is_padded
        elif hashes_here(masker):
            column.how = HASH
            set_key(&column.key, masker.key)

    def __dealloc__(self):
        free(self._plan)

    def rows(self, view, Py_ssize_t pos, Py_ssize_t size):
        """Return the replacement of the whole DataRow messages from ``pos`` on, and their end.

        Raises:
            ProtocolError: a row does not fit: none of it is ever passed on.
        """
        cdef Py_buffer buffer
        cdef Out out
        cdef Py_ssize_t end = pos
        PyObject_GetBuffer(view, &buffer, PyBUF_SIMPLE)
        out.data = NULL
        try:
            if not 0 <= pos <= size <= buffer.len:
                raise ValueError("expected a position within the view")
            begin(&out, size - pos + 4096)
            end = self._run(<Bytes>buffer.buf, pos, size, &out)
            return PyBytes_FromStringAndSize(<char *>out.data, out.size), end
        finally:
            free(out.data)
            PyBuffer_Release(&buffer)

    cdef Py_ssize_t _run(self, Bytes data, Py_ssize_t pos, Py_ssize_t size, Out *out) except -1:
        cdef int32_t length
        while size - pos >= HEADER and data[pos] == DATA_ROW:
            length = number_at(data + pos + 1)
            if length < 6:
                raise misfit("its length is impossible")
            if length > size - pos - 1:
                break
            self._row(data, pos + HEADER, pos + 1 + length, out)
            pos += 1 + length
        return pos

    cdef int _row(self, Bytes data, Py_ssize_t at, Py_ssize_t end, Out *out) except -1:
        cdef Py_ssize_t header = out.size, run, after, value_at
        cdef int number
        cdef Column *column
        if ((<int>data[at] << 8) | data[at + 1]) != self._columns:
            raise misfit(f"expected {self._columns} columns")
        run = at
        at += 2
        reserve(out, HEADER)
        out.size += HEADER
        for number in range(self._masked):
            column = &self._plan[number]
            at = skip(data, at, end, column.skipped)
            after = skip(data, at, end, 1)
            if number_at(data + at) >= 0:  # else it is NULL, and stays
                value_at = at + 4
                if column.how == CONSTANT:
                    put(out, data + run, at - run)
                    put(out, column.value, column.size)
                    run = after
                elif column.how == PARTIAL and is_ascii(data + value_at, after - value_at):
                    put(out, data + run, value_at - run)
                    put_partial(out, data + value_at, after - value_at, column.is_padded)
                    run = after
                elif column.how == HASH and is_ascii(data + value_at, after - value_at):
                    put(out, data + run, at - run)
                    put(out, SIXTEEN, 4)
                    put_hash(out, &column.key, data + value_at, after - value_at)
                    run = after
                else:
                    put(out, data + run, at - run)
                    self._ask(number, data + value_at, after - value_at, out)
                    run = after
            at = after
        if skip(data, at, end, self._passing_after) != end:
            raise misfit("it goes on after its last column")
        put(out, data + run, end - run)
        if out.size - header - 1 > LARGEST_MESSAGE:
            raise misfit("its replacement is larger than a message can be")
        out.data[header] = DATA_ROW
        write_number(out.data + header + 1, <uint32_t>(out.size - header - 1))
        return 0

    cdef int _ask(self, int number, Bytes value, Py_ssize_t size, Out *out) except -1:
        """Append what a masker in Python returns."""
        cdef unsigned char length[4]
        made = self._maskers[number](PyBytes_FromStringAndSize(<const char *>value, size))
        if made is None:
            memset(length, 0xFF, 4)
            return put(out, length, 4)
        if not PyBytes_CheckExact(made):
            raise TypeError("expected bytes or None from a masker")
        if PyBytes_GET_SIZE(made) > LARGEST_MESSAGE:
            raise misfit("its replacement is larger than a message can be")
        write_number(length, <uint32_t>PyBytes_GET_SIZE(made))
        put(out, length, 4)
        return put(out, <Bytes>PyBytes_AS_STRING(made), PyBytes_GET_SIZE(made))


def end_of_run(view, Py_ssize_t pos, Py_ssize_t size, int kind):
    """Return where the messages of one kind end that follow each other from ``pos`` on.

    Raises:
        ProtocolError: a length is impossible.
    """
    cdef Py_buffer buffer
    cdef Bytes data
    cdef int32_t length
    PyObject_GetBuffer(view, &buffer, PyBUF_SIMPLE)
    try:
        if not 0 <= pos <= size <= buffer.len:
            raise ValueError("expected a position within the view")
        data = <Bytes>buffer.buf
        while size - pos >= HEADER and data[pos] == kind:
            length = number_at(data + pos + 1)
            if length < 4:
                raise ProtocolError("upstream", "the length of a row is impossible")
            pos += 1 + <Py_ssize_t>length
        return pos
    finally:
        PyBuffer_Release(&buffer)


cdef Py_ssize_t LARGEST_MESSAGE = LARGEST
cdef const unsigned char *SIXTEEN = b"\0\0\0\x10"
