/* The ledger's rows of requests in their plain form, written in one pass, and chained where the processor hashes.
 *
 * Only what row_of in served.py would write letter by letter is written here: texts of visible ASCII without quotation
 * marks and backslashes, whole numbers, no prompt and no answer. All else is left to it (None), so that a mistake here can
 * be that a row is written slowly; a test holds that none is written otherwise (tests/ledger/test_rows.py).
 *
 * Of the 3 us that a row takes in Python, most are calls and not the hash. Processors with instructions for SHA-256 make
 * it here (0.3 us); for others there is no `chain`, and hashlib makes it.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)
#define HAS_CHAIN 1
#include <cpuid.h>
#include <immintrin.h>
#else
#define HAS_CHAIN 0
#endif

/* The places of a `Served`. */
enum {
    AT, ID, PATH, ASKED, MODEL, LAYER, REASON, ENGINE, KEY, STATUS, OUTCOME, ERROR, STREAM, PROMPT_TOKENS,
    COMPLETION_TOKENS, CACHED_TOKENS, QUEUE_US, FIRST_US, TOTAL_US, PROMPT, ANSWER, FIELDS
};
enum { MOST_WORD = 300, MOST_REASON = 1000, MOST_ROW = 8192, MOST_ROWS = 4096 };

typedef struct {
    char *to, *end;
    int is_plain;
} Row;

static void put(Row *row, const char *text, Py_ssize_t size)
{
    if (!row->is_plain || row->end - row->to < size) {
        row->is_plain = 0;
        return;
    }
    memcpy(row->to, text, (size_t)size);
    row->to += size;
}

#define PUT(row, text) put(row, text, (Py_ssize_t)sizeof(text) - 1)

static void put_digits(Row *row, long long number)
{
    char digits[24];
    char *at = digits + sizeof digits;
    if (number < 0) {
        row->is_plain = 0;
        return;
    }
    do {
        *--at = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    put(row, at, digits + sizeof digits - at);
}

static void put_number(Row *row, PyObject *value)
{
    if (value == Py_None) {
        PUT(row, "null");
        return;
    }
    /* Negative ones, too large ones and what is no whole number are not plain. */
    long long number = PyLong_CheckExact(value) ? PyLong_AsLongLong(value) : -1;
    if (number < 0)
        PyErr_Clear();
    put_digits(row, number);
}

static void put_text(Row *row, PyObject *value, Py_ssize_t most)
{
    Py_ssize_t size;
    if (value == Py_None) {
        PUT(row, "null");
        return;
    }
    const char *text = PyUnicode_CheckExact(value) ? PyUnicode_AsUTF8AndSize(value, &size) : NULL;
    if (text == NULL || size > most) {
        PyErr_Clear();
        row->is_plain = 0;
        return;
    }
    for (Py_ssize_t i = 0; i < size; i++)
        if (text[i] < ' ' || text[i] > '~' || text[i] == '"' || text[i] == '\\') {
            row->is_plain = 0;
            return;
        }
    PUT(row, "\"");
    put(row, text, size);
    PUT(row, "\"");
}

/* 1, 0 where the row is not plain, -1 with an exception set. */
static int put_row(Row *row, long long number, const char *time, Py_ssize_t time_bytes, PyObject *served)
{
    PyObject *field[FIELDS];
    if (!PyTuple_Check(served) || PyTuple_Size(served) != FIELDS) {
        PyErr_SetString(PyExc_TypeError, "expected a Served");
        return -1;
    }
    for (int i = 0; i < FIELDS; i++)
        field[i] = PyTuple_GetItem(served, i);
    if (field[PROMPT] != Py_None || field[ANSWER] != Py_None || !PyBool_Check(field[STREAM]) || field[ID] == Py_None
        || field[PATH] == Py_None || field[OUTCOME] == Py_None || field[TOTAL_US] == Py_None)
        return 0;
    PUT(row, "{\"asked\":");
    put_text(row, field[ASKED], MOST_WORD);
    PUT(row, ",\"cached_tokens\":");
    put_number(row, field[CACHED_TOKENS]);
    PUT(row, ",\"completion_tokens\":");
    put_number(row, field[COMPLETION_TOKENS]);
    PUT(row, ",\"engine\":");
    put_text(row, field[ENGINE], MOST_ROW);
    PUT(row, ",\"error\":");
    put_text(row, field[ERROR], MOST_WORD);
    PUT(row, ",\"first_us\":");
    put_number(row, field[FIRST_US]);
    PUT(row, ",\"id\":");
    put_text(row, field[ID], MOST_ROW);
    PUT(row, ",\"key\":");
    put_text(row, field[KEY], MOST_WORD);
    PUT(row, ",\"kind\":\"request\",\"layer\":");
    put_text(row, field[LAYER], MOST_ROW);
    PUT(row, ",\"model\":");
    put_text(row, field[MODEL], MOST_WORD);
    PUT(row, ",\"number\":");
    put_digits(row, number);
    PUT(row, ",\"outcome\":");
    put_text(row, field[OUTCOME], MOST_ROW);
    PUT(row, ",\"path\":");
    put_text(row, field[PATH], MOST_WORD);
    PUT(row, ",\"prompt_tokens\":");
    put_number(row, field[PROMPT_TOKENS]);
    PUT(row, ",\"queue_us\":");
    put_number(row, field[QUEUE_US]);
    PUT(row, ",\"reason\":");
    put_text(row, field[REASON], MOST_REASON);
    PUT(row, ",\"status\":");
    put_number(row, field[STATUS]);
    PUT(row, ",\"stream\":");
    if (field[STREAM] == Py_True)
        PUT(row, "true");
    else
        PUT(row, "false");
    PUT(row, ",\"time\":");
    PUT(row, "\"");
    put(row, time, time_bytes);
    PUT(row, "\"");
    PUT(row, ",\"total_us\":");
    put_number(row, field[TOTAL_US]);
    PUT(row, "}");
    return row->is_plain;
}

PyDoc_STRVAR(row_of_doc,
    "row_of(number, time, served) -> the row of a `Served`, as row_of in served.py writes it; None where it is not plain.");

static PyObject *row_of(PyObject *module, PyObject *arguments)
{
    PyObject *served;
    long long number;
    const char *time;
    Py_ssize_t time_bytes;
    char text[MOST_ROW];
    Row row = {text, text + sizeof text, 1};
    (void)module;
    if (!PyArg_ParseTuple(arguments, "Ls#O", &number, &time, &time_bytes, &served))
        return NULL;
    int is_plain = put_row(&row, number, time, time_bytes, served);
    if (is_plain < 0)
        return NULL;
    if (!is_plain)
        Py_RETURN_NONE;
    return PyUnicode_FromStringAndSize(text, row.to - text);
}

#if HAS_CHAIN
enum { BLOCK = 64, HEX = 64 };

static const uint32_t ROUNDS[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

/* FIPS 180-4, section 6.2.2, by the processor's own instructions: four rounds at a time. */
__attribute__((target("sha,sse4.1,ssse3"))) static void hash_blocks(uint32_t state[8], const unsigned char *data, size_t blocks)
{
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
    __m128i cdab = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)state), 0xb1);
    __m128i efgh = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(state + 4)), 0x1b);
    __m128i abef = _mm_alignr_epi8(cdab, efgh, 8), cdgh = _mm_blend_epi16(efgh, cdab, 0xf0);
    for (; blocks; blocks--, data += BLOCK) {
        __m128i first = abef, second = cdgh, words[4];
        for (int i = 0; i < 16; i++) {
            __m128i *now = &words[i & 3], last = words[(i + 3) & 3];
            if (i < 4)
                *now = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(data + 16 * i)), swap);
            else
                *now = _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(*now, words[(i + 1) & 3]),
                                                          _mm_alignr_epi8(last, words[(i + 2) & 3], 4)), last);
            __m128i with = _mm_add_epi32(*now, _mm_load_si128((const __m128i *)(ROUNDS + 4 * i)));
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, with);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(with, 0x0e));
        }
        abef = _mm_add_epi32(abef, first);
        cdgh = _mm_add_epi32(cdgh, second);
    }
    __m128i feba = _mm_shuffle_epi32(abef, 0x1b), dchg = _mm_shuffle_epi32(cdgh, 0xb1);
    _mm_storeu_si128((__m128i *)state, _mm_blend_epi16(feba, dchg, 0xf0));
    _mm_storeu_si128((__m128i *)(state + 4), _mm_alignr_epi8(dchg, feba, 8));
}

static int can_hash(void)
{
    unsigned int a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_SSSE3) || !(c & bit_SSE4_1))
        return 0;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b >> 29 & 1);
}

/* The sum of `size` bytes as hexadecimal letters; behind them `data` has room for two blocks more. */
static void hash(unsigned char *data, size_t size, char hex[HEX])
{
    uint32_t state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    size_t padded = (size + 9 + BLOCK - 1) / BLOCK * BLOCK;
    memset(data + size, 0, padded - size);
    data[size] = 0x80;
    for (int i = 0; i < 8; i++)
        data[padded - 1 - i] = (unsigned char)((uint64_t)size * 8 >> 8 * i);
    hash_blocks(state, data, padded / BLOCK);
    for (int i = 0; i < HEX; i++)
        hex[i] = "0123456789abcdef"[state[i / 8] >> (28 - 4 * (i % 8)) & 15];
}

PyDoc_STRVAR(chain_doc,
    "chain(previous, number, time, second, told) -> (lines, hash of the last) of the requests that were told: numbers go\n"
    "on from `number`, hashes from `previous`; all are of one second, which `time` writes up to its point. None where a\n"
    "row is not plain.");

/* Writes the rows' lines behind each other; their size, 0 where one is not plain, -1 with an exception set. */
static Py_ssize_t put_lines(char **made, char hex[HEX], long long number, const char *time, Py_ssize_t time_bytes,
                            double second, PyObject *told)
{
    Py_ssize_t count = PyList_Size(told), size = 0, room = 0;
    unsigned char row_text[HEX + MOST_ROW + 2 * BLOCK];
    char stamp[64];
    memcpy(stamp, time, (size_t)time_bytes);
    stamp[time_bytes + 6] = 'Z';
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *served = PyList_GetItem(told, i);
        PyObject *at = PyTuple_Check(served) && PyTuple_Size(served) ? PyTuple_GetItem(served, AT) : NULL;
        double seconds = at == NULL ? -1.0 : PyFloat_AsDouble(at);
        if (seconds == -1.0 && PyErr_Occurred())
            return -1;
        double part = (seconds - second) * 1e6;
        if (!(part >= 0 && part < 1e6))
            return 0;
        long us = (long)part;
        for (int digit = 5; digit >= 0; digit--, us /= 10)
            stamp[time_bytes + digit] = (char)('0' + us % 10);
        memcpy(row_text, hex, HEX);
        Row row = {(char *)row_text + HEX, (char *)row_text + HEX + MOST_ROW, 1};
        int is_plain = put_row(&row, number + 1 + i, stamp, time_bytes + 7, served);
        if (is_plain < 1)
            return is_plain;
        Py_ssize_t row_bytes = row.to - (char *)row_text - HEX;
        if (room - size < row_bytes + HEX + 32) {
            room = room * 2 + row_bytes + (count - i) * 700;
            char *more = PyMem_Realloc(*made, (size_t)room);
            if (more == NULL) {
                PyErr_NoMemory();
                return -1;
            }
            *made = more;
        }
        Row line = {*made + size, *made + room, 1};
        char *hashed = line.to + 9;
        PUT(&line, "{\"hash\":\"");
        put(&line, hex, HEX);
        PUT(&line, "\",\"row\":");
        put(&line, (char *)row_text + HEX, row_bytes);
        PUT(&line, "}\n");
        hash(row_text, (size_t)(HEX + row_bytes), hex);
        memcpy(hashed, hex, HEX);
        size = line.to - *made;
    }
    return size;
}

static PyObject *chain(PyObject *module, PyObject *arguments)
{
    const char *previous, *time;
    Py_ssize_t previous_bytes, time_bytes;
    long long number;
    double second;
    PyObject *told;
    char hex[HEX], *made = NULL;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "s#Ls#dO", &previous, &previous_bytes, &number, &time, &time_bytes, &second, &told))
        return NULL;
    if (previous_bytes != HEX || time_bytes > 32 || !PyList_Check(told) || PyList_Size(told) > MOST_ROWS)
        Py_RETURN_NONE;
    memcpy(hex, previous, HEX);
    Py_ssize_t size = put_lines(&made, hex, number, time, time_bytes, second, told);
    PyObject *result = NULL;
    if (size > 0)
        result = Py_BuildValue("(s#s#)", made, size, hex, (Py_ssize_t)HEX);
    PyMem_Free(made);
    if (size)
        return result;
    Py_RETURN_NONE;
}
#endif

static PyMethodDef methods[] = {
    {"row_of", row_of, METH_VARARGS, row_of_doc},
    {NULL, NULL, 0, NULL},
};

#if HAS_CHAIN
static PyMethodDef chain_method = {"chain", chain, METH_VARARGS, chain_doc};
#endif

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_rows", "The ledger's rows in their plain form.", -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__rows(void)
{
    PyObject *module = PyModule_Create(&definition);
#if HAS_CHAIN
    if (module != NULL && can_hash()) {
        PyObject *function = PyCFunction_NewEx(&chain_method, NULL, NULL);
        if (function == NULL || PyModule_AddObjectRef(module, "chain", function) < 0)
            Py_CLEAR(module);
        Py_XDECREF(function);
    }
#endif
    return module;
}
