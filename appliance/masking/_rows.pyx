# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""Rewrite runs of DataRow messages: the compiled twin of ``rows_python``.

Constants, and the visible end of an ASCII text, are written here; any other replacement is asked
of its masker. Every length that came is compared with the end of its message before it is used.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport (
    PyBytes_AS_STRING,
    PyBytes_CheckExact,
    PyBytes_FromStringAndSize,
    PyBytes_GET_SIZE,
)
from libc.stdint cimport int32_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy, memset

from appliance.masking.maskers_text import Constant, Partial
from appliance.masking.rows_python import LARGEST, misfit

ctypedef const unsigned char *Bytes

cdef enum How:
    CONSTANT
    PARTIAL
    CALL

cdef struct Column:
    int skipped  # columns before it that pass
    How how
    bint is_padded  # of PARTIAL
    Bytes value  # of CONSTANT: with its length before it, as it is written
    Py_ssize_t size

cdef struct Out:
    unsigned char *data
    Py_ssize_t size
    Py_ssize_t room

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
            out.size = 0
            out.room = size - pos + 4096
            out.data = <unsigned char *>malloc(out.room)
            if out.data is NULL:
                raise MemoryError
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
        if <int>((<uint16_t>data[at] << 8) | data[at + 1]) != self._columns:
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


cdef Py_ssize_t LARGEST_MESSAGE = LARGEST


cdef inline int32_t number_at(Bytes data) noexcept nogil:
    return <int32_t>(
        (<uint32_t>data[0] << 24)
        | (<uint32_t>data[1] << 16)
        | (<uint32_t>data[2] << 8)
        | <uint32_t>data[3]
    )


cdef inline void write_number(unsigned char *at, uint32_t number) noexcept nogil:
    at[0] = number >> 24
    at[1] = (number >> 16) & 0xFF
    at[2] = (number >> 8) & 0xFF
    at[3] = number & 0xFF


cdef inline Py_ssize_t skip(Bytes data, Py_ssize_t at, Py_ssize_t end, int count) except -1:
    """Return where the values end that begin at ``at``."""
    cdef int32_t length
    while count > 0:
        if end - at < 4:
            raise misfit("it ends within a column")
        length = number_at(data + at)
        at += 4
        if length < -1 or length > end - at:
            raise misfit("it ends within a column")
        if length > 0:
            at += length
        count -= 1
    return at


cdef inline int reserve(Out *out, Py_ssize_t more) except -1:
    cdef Py_ssize_t room
    cdef unsigned char *moved
    if more > out.room - out.size:
        room = 2 * (out.size + more)
        moved = <unsigned char *>realloc(out.data, room)
        if moved is NULL:
            raise MemoryError
        out.data = moved
        out.room = room
    return 0


cdef inline int put(Out *out, Bytes data, Py_ssize_t size) except -1:
    reserve(out, size)
    memcpy(out.data + out.size, data, size)
    out.size += size
    return 0


cdef inline bint is_ascii(Bytes data, Py_ssize_t size) noexcept nogil:
    cdef uint64_t word
    cdef Py_ssize_t at = 0
    while size - at >= 8:
        memcpy(&word, data + at, 8)
        if word & <uint64_t>0x8080808080808080:
            return False
        at += 8
    while at < size:
        if data[at] & 0x80:
            return False
        at += 1
    return True


cdef inline int put_partial(Out *out, Bytes data, Py_ssize_t size, bint is_padded) except -1:
    """Append the value with stars but for the last min(4, length/4) characters."""
    cdef Py_ssize_t shown = size, hidden
    if is_padded:
        while shown > 0 and data[shown - 1] == 32:
            shown -= 1
    hidden = shown - min(4, shown // 4)
    reserve(out, size)
    memset(out.data + out.size, 42, hidden)
    memcpy(out.data + out.size + hidden, data + hidden, size - hidden)
    out.size += size
    return 0
