/* The ledger's row of one request in its plain form, written in one pass.
 *
 * Only what row_of in served.py would write letter by letter is written here: texts of visible ASCII without quotation
 * marks and backslashes, whole numbers, no prompt and no answer. All else is left to it (None), so that a mistake here can
 * be that a row is written slowly; a test holds that none is written otherwise (tests/ledger/test_rows.py).
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <string.h>

/* The places of a `Served`. */
enum {
    AT, ID, PATH, ASKED, MODEL, LAYER, REASON, ENGINE, KEY, STATUS, OUTCOME, ERROR, STREAM, PROMPT_TOKENS,
    COMPLETION_TOKENS, CACHED_TOKENS, QUEUE_US, FIRST_US, TOTAL_US, PROMPT, ANSWER, FIELDS
};
enum { MOST_WORD = 300, MOST_REASON = 1000, MOST_ROW = 8192 };

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

static void put_number(Row *row, PyObject *value)
{
    char digits[24];
    char *at = digits + sizeof digits;
    if (value == Py_None) {
        PUT(row, "null");
        return;
    }
    long long number = PyLong_CheckExact(value) ? PyLong_AsLongLong(value) : -1;
    if (number < 0) {
        /* Negative, too large, or no whole number. */
        PyErr_Clear();
        row->is_plain = 0;
        return;
    }
    do {
        *--at = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    put(row, at, digits + sizeof digits - at);
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

PyDoc_STRVAR(row_of_doc,
    "row_of(number, time, served) -> the row of a `Served`, as row_of in served.py writes it; None where it is not plain.");

static PyObject *row_of(PyObject *module, PyObject *arguments)
{
    PyObject *number, *time, *served, *field[FIELDS];
    char text[MOST_ROW];
    Row row = {text, text + sizeof text, 1};
    (void)module;
    if (!PyArg_ParseTuple(arguments, "OOO", &number, &time, &served))
        return NULL;
    if (!PyTuple_Check(served) || PyTuple_Size(served) != FIELDS) {
        PyErr_SetString(PyExc_TypeError, "expected a Served");
        return NULL;
    }
    for (int i = 0; i < FIELDS; i++)
        field[i] = PyTuple_GetItem(served, i);
    if (field[PROMPT] != Py_None || field[ANSWER] != Py_None || !PyBool_Check(field[STREAM]) || time == Py_None
        || number == Py_None || field[ID] == Py_None || field[PATH] == Py_None || field[OUTCOME] == Py_None
        || field[TOTAL_US] == Py_None)
        Py_RETURN_NONE;
    PUT(&row, "{\"asked\":");
    put_text(&row, field[ASKED], MOST_WORD);
    PUT(&row, ",\"cached_tokens\":");
    put_number(&row, field[CACHED_TOKENS]);
    PUT(&row, ",\"completion_tokens\":");
    put_number(&row, field[COMPLETION_TOKENS]);
    PUT(&row, ",\"engine\":");
    put_text(&row, field[ENGINE], MOST_ROW);
    PUT(&row, ",\"error\":");
    put_text(&row, field[ERROR], MOST_WORD);
    PUT(&row, ",\"first_us\":");
    put_number(&row, field[FIRST_US]);
    PUT(&row, ",\"id\":");
    put_text(&row, field[ID], MOST_ROW);
    PUT(&row, ",\"key\":");
    put_text(&row, field[KEY], MOST_WORD);
    PUT(&row, ",\"kind\":\"request\",\"layer\":");
    put_text(&row, field[LAYER], MOST_ROW);
    PUT(&row, ",\"model\":");
    put_text(&row, field[MODEL], MOST_WORD);
    PUT(&row, ",\"number\":");
    put_number(&row, number);
    PUT(&row, ",\"outcome\":");
    put_text(&row, field[OUTCOME], MOST_ROW);
    PUT(&row, ",\"path\":");
    put_text(&row, field[PATH], MOST_WORD);
    PUT(&row, ",\"prompt_tokens\":");
    put_number(&row, field[PROMPT_TOKENS]);
    PUT(&row, ",\"queue_us\":");
    put_number(&row, field[QUEUE_US]);
    PUT(&row, ",\"reason\":");
    put_text(&row, field[REASON], MOST_REASON);
    PUT(&row, ",\"status\":");
    put_number(&row, field[STATUS]);
    PUT(&row, ",\"stream\":");
    if (field[STREAM] == Py_True)
        PUT(&row, "true");
    else
        PUT(&row, "false");
    PUT(&row, ",\"time\":");
    put_text(&row, time, MOST_WORD);
    PUT(&row, ",\"total_us\":");
    put_number(&row, field[TOTAL_US]);
    PUT(&row, "}");
    if (!row.is_plain)
        Py_RETURN_NONE;
    return PyUnicode_FromStringAndSize(text, row.to - text);
}

static PyMethodDef methods[] = {
    {"row_of", row_of, METH_VARARGS, row_of_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_rows", "The ledger's rows in their plain form.", -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__rows(void)
{
    return PyModule_Create(&definition);
}
